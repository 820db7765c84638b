"""Plans of a BLIP whose sides have sizes of their own: its runs, what they are called, what is left out."""

from collections.abc import Callable
from typing import Any

import pytest

from amad_bench.plan.overview import overview
from amad_bench.plan.plan import Plan
from amad_bench.plan.run_config import Model
from tests.plan.config.checks.test_pretraining import TRAINING
from tests.plan.conftest import LARGE_SIDES, SMALL_SIDES

Raw = dict[str, Any]
Planned = Callable[[Any], Plan]

WHOLE = {"layers": 2, "width": 32, "feed_forward": 64, "dropout": 0.0}


def _sizes(layers: int, width: int, feed_forward: int, heads: int) -> dict[str, int]:
    parts = {"layers": layers, "width": width, "feed_forward": feed_forward, "heads": heads}
    return parts | {"head_size": width // heads}


def _models(plan: Plan, kind: str) -> list[Model]:
    return [run.config.model for run in plan.runs if run.kind == kind]


def test_the_compared_side_gives_the_head_pair(sided: Raw, planned: Planned) -> None:
    plan = planned(sided)
    teacher = next(run for run in plan.runs if run.kind == "teacher")
    assert teacher.id.startswith("blip-captioning-h16-teacher-none-s00-")
    canonical = teacher.config.model.canonical()
    assert canonical["other_sides"] == {"text": _sizes(12, 48, 192, 12)}
    assert {key: canonical[key] for key in _sizes(1, 1, 1, 1)} == _sizes(24, 64, 256, 16)
    students = [run for run in plan.runs if run.kind == "student" and run.config.loss.label == "amad_kl"]
    assert sorted({run.id[:31] for run in students}) == [
        "blip-captioning-h16to2-amad_kl-",
        "blip-captioning-h16to8-amad_kl-",
    ]
    assert {run.config.teacher.heads for run in students if run.config.teacher} == {16}
    for run in students:
        assert run.config.model.side("vision").heads in (8, 2)
        assert run.config.model.side("text").canonical() == _sizes(2, 24, 96, 6)
    assert "blip captioning scenes 16 -> 8 heads" in overview(plan)


def test_compared_at_the_text_its_heads_are_the_pair(sided: Raw, planned: Planned) -> None:
    sided["sites"]["blip"] = ["decoder.self"]
    sided["models"]["blip"] = {
        **sided["models"]["blip"],
        "teacher": {**LARGE_SIDES, "vision": {**LARGE_SIDES["vision"], "heads": [16]}},
        "student": {**SMALL_SIDES, "vision": {**SMALL_SIDES["vision"], "heads": [4]}},
    }
    plan = planned(sided)
    assert any(run.id.startswith("blip-captioning-h12to6-amad_kl-") for run in plan.runs)
    (model, *_) = _models(plan, "student")
    assert (model.heads, model.width, model.side("text"), model.side("vision").heads) == (6, 24, model, 4)


def test_sides_that_are_alike_are_one_size(sided: Raw, planned: Planned) -> None:
    """Two spellings of one model are one run."""
    side = {key: WHOLE[key] for key in ("layers", "width", "feed_forward")}
    sided["heads"] = {"teacher": [8], "student": [4]}
    ids = []
    for student in (WHOLE, {"vision": side, "text": {**side, "heads": [4]}, "dropout": 0.0}):
        sided["models"]["blip"] |= {"teacher": WHOLE, "student": student}
        ids.append([run.id for run in planned(sided).runs])
    assert ids[0] == ids[1]
    sided["models"]["blip"]["student"] = {"vision": side, "text": {**side, "heads": [2]}, "dropout": 0.0}
    assert not set(ids[0]) & {run.id for run in planned(sided).runs if run.kind == "student"}


def test_losses_are_asked_about_the_compared_sites(sided: Raw, planned: Planned) -> None:
    """one_to_one needs equal heads: at the vision side here, whatever the text side has."""
    sided["heads"]["student"] = [16, 2]
    plan = planned(sided)
    (skip,) = plan.skipped
    assert skip.setting == "blip-captioning-scenes-h16to2-one_to_one"
    assert "at vision.self the teacher has 16 heads and the student 2" in skip.reason


PRETRAINED = {"teacher": ["vl"], "student": ["vl"], "training": {"blip": {"vl": dict(TRAINING)}}}


@pytest.mark.parametrize(
    ("cut", "side", "changes", "reason"),
    [
        (
            "inherit",
            "text",
            {"layers": 13},
            "inherit cuts the teacher's weights, and the student has more layers",
        ),
        ("inherit", "text", {"heads": [24], "width": 48}, "and the student has more heads"),
        (
            "inherit",
            "vision",
            {"width": 128},
            "inherit cuts the teacher's weights, and the student has more width",
        ),
        ("remap", "text", {"width": 24}, "remap keeps the inner width"),
        (
            "remap",
            "vision",
            {"feed_forward": 128},
            "remap keeps the feed-forward, the teacher has another one",
        ),
        (
            "remap",
            "vision",
            {"layers": 25},
            "remap cuts the teacher's weights, and the student has more layers",
        ),
    ],
)
def test_a_side_that_cannot_be_cut_is_named(
    sided: Raw, planned: Planned, cut: str, side: str, changes: Raw, reason: str
) -> None:
    sided["pretraining"], sided["losses"] = PRETRAINED, [{"name": "ce"}, {"name": "amad"}]
    sided["heads"]["student"] = [8]
    sides = {name: dict(LARGE_SIDES[name]) for name in ("vision", "text")} | {"dropout": 0.0, "cut": cut}
    sided["models"]["blip"]["students"] = {"cut": sides, "fits": {**SMALL_SIDES, "cut": "inherit"}}
    del sided["models"]["blip"]["student"]
    assert planned(sided).skipped == []
    sides[side] = sides[side] | changes
    (skip,) = planned(sided).skipped
    assert skip.setting == "blip-captioning-scenes-h16to8-cut-vl"
    assert reason in skip.reason
    assert skip.reason.endswith(f"({side})")


def test_token_types_are_part_of_blips_models(raw: Raw, planned: Planned) -> None:
    found = {run.config.family: run.config.model.options.get("token_types") for run in planned(raw).runs}
    assert found == {"vlt5": None, "blip": "added"}
