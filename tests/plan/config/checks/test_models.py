"""Sizes of BLIP's sides in a config: each mistake is one line that names its key."""

from collections.abc import Callable
from typing import Any

import pytest

Raw = dict[str, Any]
Errors = Callable[[Any], list[str]]
COMMON = ("layers", "width", "feed_forward")


def _blip(sided: Raw) -> Raw:
    return sided["models"]["blip"]


def test_sides_of_their_own_are_valid(sided: Raw, load: Callable[[Any], Any]) -> None:
    config = load(sided)
    assert config.swept_sides("blip", config.models["blip"].teacher) == ["vision"]
    assert config.heads_of("blip", "teacher", config.models["blip"].teacher) == [16]
    assert config.heads_of("blip", "student", config.models["blip"].student) == [8, 2]


def test_the_heads_of_the_compared_side_are_swept(sided: Raw, load: Callable[[Any], Any]) -> None:
    """Its own numbers, or the config's; with the other side compared, those of the other."""
    _blip(sided)["student"]["vision"]["heads"] = [4]
    config = load(sided)
    assert config.heads_of("blip", "student", config.models["blip"].student) == [4]
    sided["sites"]["blip"] = ["decoder.self", "decoder.cross"]
    _blip(sided)["teacher"]["vision"]["heads"] = [16]
    config = load(sided)
    assert config.swept_sides("blip", config.models["blip"].student) == ["text"]
    assert config.heads_of("blip", "teacher", config.models["blip"].teacher) == [12]
    assert config.heads_of("blip", "student", config.models["blip"].student) == [6]


def test_one_side_alone(sided: Raw, errors: Errors) -> None:
    del _blip(sided)["student"]["text"]
    assert errors(sided) == [
        "models.blip.student.text: missing; where one side of blip is named, the other is, too"
    ]


def test_one_side_alone_that_is_not_the_compared_one(sided: Raw, errors: Errors) -> None:
    """One line says what is missing; no other says that `sites` names no side."""
    del _blip(sided)["student"]["vision"]
    assert errors(sided) == [
        "models.blip.student.vision: missing; where one side of blip is named, the other is, too"
    ]


def test_sizes_and_sides_both(sided: Raw, errors: Errors) -> None:
    _blip(sided)["student"] |= {"width": 32, "heads": [2], "head_size": 4}
    advice = "vision and text have their own; say it there, and remove it here"
    assert errors(sided) == [
        f"models.blip.student.{key}: {advice}" for key in ("width", "heads", "head_size")
    ]


@pytest.mark.parametrize("key", COMMON)
def test_neither_sizes_nor_sides(sided: Raw, errors: Errors, key: str) -> None:
    _blip(sided)["student"] = {"layers": 2, "width": 32, "feed_forward": 64, "dropout": 0.0}
    del _blip(sided)["student"][key]
    assert errors(sided) == [f"models.blip.student.{key}: missing; add this key"]


def test_unknown_and_missing_keys_of_a_side(sided: Raw, errors: Errors) -> None:
    vision = _blip(sided)["student"]["vision"]
    vision["wdith"] = vision.pop("width")
    vision["layers"] = 0
    assert errors(sided) == [
        "models.blip.student.vision.layers: expected at least 1, found 0",
        "models.blip.student.vision.width: missing; add this key",
        "models.blip.student.vision.wdith: unknown key. Did you mean 'width'?",
    ]


def test_a_width_that_its_sides_heads_do_not_divide(sided: Raw, errors: Errors) -> None:
    _blip(sided)["teacher"]["text"]["heads"] = [7]
    _blip(sided)["student"]["vision"]["width"] = 36
    assert errors(sided) == [
        "models.blip.teacher.text.width: blip's text side with width 48 cannot have 7 heads "
        "(models.blip.teacher.text.heads): the width must divide by the heads; possible: "
        "1, 2, 3, 4, 6, 8, 12, 16, 24, 48",
        "models.blip.student.vision.width: blip's vision side with width 36 cannot have 8 heads "
        "(heads.student): the width must divide by the heads; possible: 1, 2, 3, 4, 6, 9, 12, 18, 36",
    ]


def test_the_other_side_has_one_number_of_heads(sided: Raw, errors: Errors) -> None:
    which = "sites.blip compares vision alone, whose heads are swept"
    del _blip(sided)["teacher"]["text"]["heads"]
    _blip(sided)["student"]["text"]["heads"] = [6, 3]
    assert errors(sided) == [
        f"models.blip.teacher.text.heads: missing; {which}: give the one number that this side has",
        f"models.blip.student.text.heads: expected one number, found 6, 3; {which}: keep one",
    ]


def test_compared_together_sides_have_the_same_heads(
    sided: Raw, errors: Errors, load: Callable[[Any], Any]
) -> None:
    """One swept number for both: else it were not clear whose pair a head pair is."""
    sided["sites"]["blip"] = ["vision.self", "decoder.self"]
    assert errors(sided) == [
        f"models.blip.{role}: sites.blip compares vision and text, whose heads are swept together, but their "
        f"numbers differ: {found}; give both the same, or compare one side"
        for role, found in (
            ("teacher", "[16] (vision), [12] (text)"),
            ("student", "[8, 2] (vision), [6] (text)"),
        )
    ]
    for role in ("teacher", "student"):
        del _blip(sided)[role]["text"]["heads"]
    sided["heads"] = {"teacher": [16], "student": [8, 2]}
    config = load(sided)
    assert config.heads_of("blip", "student", config.models["blip"].student) == [8, 2]


def test_without_a_compared_site_no_side_is_swept(sided: Raw, errors: Errors) -> None:
    sided["losses"] = [{"name": "ce"}]
    del sided["sites"]
    assert errors(sided) == [
        f"sites.blip: names no site of a side, and models.blip.{role} has heads of its own for each: sites "
        "say whose heads are swept; add one, for example vision.self"
        for role in ("teacher", "student")
    ]


def test_vlt5_has_no_sides(raw: Raw, errors: Errors) -> None:
    side = {"layers": 2, "width": 64, "feed_forward": 128}
    raw["models"]["vlt5"]["student"] = {"vision": side, "text": side, "dropout": 0.0}
    assert errors(raw) == [
        f"models.vlt5.student.{name}: vlt5 has no sides of different sizes; remove it"
        for name in ("vision", "text")
    ]


def test_a_head_size_is_not_kept_with_sides(sided: Raw, errors: Errors) -> None:
    sided["heads"]["keep"] = "head_size"
    assert errors(sided) == [
        "heads.keep: blip cannot keep the head size (width = heads x head size); use inner_width"
    ]


def test_one_student_spelt_twice(sided: Raw, errors: Errors) -> None:
    """Sides that are alike are the common size."""
    side = {"layers": 2, "width": 32, "feed_forward": 64}
    sided["heads"]["student"] = [2]
    del _blip(sided)["student"]
    _blip(sided)["students"] = {
        "whole": {**side, "dropout": 0.0},
        "sides": {"vision": side, "text": {**side, "heads": [2]}, "dropout": 0.0},
        "others": {"vision": side, "text": {**side, "heads": [4]}, "dropout": 0.0},
    }
    assert errors(sided) == ["models.blip.students.sides: the same as models.blip.students.whole; keep one"]


def test_two_students_that_share_a_number_of_heads(sided: Raw, errors: Errors) -> None:
    """One run would stand for both, and one of them would have no row."""
    side = {"layers": 2, "width": 32, "feed_forward": 64}
    sided["heads"]["student"] = [8, 2]
    del _blip(sided)["student"]
    _blip(sided)["students"] = {
        "whole": {**side, "dropout": 0.0},
        "sides": {"vision": side, "text": {**side, "heads": [8]}, "dropout": 0.0},
        "other": {"vision": {**side, "heads": [4]}, "text": {**side, "heads": [8]}, "dropout": 0.0},
    }
    assert errors(sided) == [
        "models.blip.students.sides: with 8 heads the same as models.blip.students.whole; keep one"
    ]


def test_mapped_layers_are_those_of_the_compared_side(sided: Raw, errors: Errors) -> None:
    sided["layer_map"] = [[3, 23], [4, 24]]
    assert errors(sided) == [
        "layer_map[1]: layer 24 of the teacher does not exist, models.blip.teacher.vision has 24 layers, "
        "counted from 0",
        "layer_map[1]: layer 4 of the student does not exist, models.blip.student.vision has 4 layers, "
        "counted from 0",
    ]


def test_an_assistants_heads_divide_the_compared_sides_width(sided: Raw, errors: Errors) -> None:
    sided["losses"].append({"name": "amad", "label": "via", "assistant": {"heads": 6, "loss": "amad_kl"}})
    assert errors(sided) == [
        "losses[4].assistant.heads: a student of blip with width 32 cannot have 6 heads; choose a divisor of "
        "the width"
    ]


def test_token_types_are_added_or_dropped(sided: Raw, errors: Errors, load: Callable[[Any], Any]) -> None:
    assert load(sided).models["blip"].options("blip")["token_types"] == "added"
    _blip(sided)["token_types"] = "dropped"
    assert load(sided).models["blip"].options("blip")["token_types"] == "dropped"
    _blip(sided)["token_types"] = "drop"
    assert errors(sided) == [
        "models.blip.token_types: expected added or dropped, found 'drop'. Did you mean 'dropped'?"
    ]


def test_vlt5_has_no_token_types(raw: Raw, errors: Errors) -> None:
    raw["models"]["vlt5"]["token_types"] = "added"
    assert errors(raw) == ["models.vlt5.token_types: only blip has it; remove it"]
