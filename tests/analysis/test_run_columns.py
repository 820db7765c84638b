"""Phrases of a run's config that stand in the tables."""

from dataclasses import replace

import pytest

from amad_bench.analysis.run_columns import (
    describe_cut,
    describe_inputs,
    describe_limit,
    describe_shape,
    describe_start,
    run_columns,
)
from amad_bench.plan.config.inputs import ExtractedInputs
from amad_bench.plan.run_config import Side, Start
from tests.planned import planned_config, planned_dataset


def test_descriptions():
    limit = {"train": 20, "validation": 2, "test": 3}
    limited = "limited to train 20, validation 2, test 3"
    for dataset, options, expected in (
        ("scenes", {}, "no data limit"),
        ("scenes", {"limit": limit}, limited),
        ("vqa_v2", {"subset": False}, "no data limit"),
        ("vqa_v2", {"subset": True}, "a part of the official files"),
        ("vqa_v2", {"subset": True, "limit": limit}, f"a part of the official files; {limited}"),
    ):
        assert describe_limit(planned_dataset(dataset, **options)) == expected
    pixels = planned_config("blip", "vqa")
    assert describe_inputs(pixels) == "pixels: size 48, patch 8, colours half"
    model = ExtractedInputs(kind="extracted", model="models/vit-base", size=224, rows=6, columns=5)
    extracted = pixels.model_copy(update={"inputs": model, "inputs_hash": "0123456789ab"})
    assert describe_inputs(extracted) == (
        "extracted: model vit-base, size 224, rows 6, columns 5, hash 01234567"
    )


SHAPE = ("layers", "width", "feed_forward", "head_size")


@pytest.mark.parametrize(
    ("sizes", "heads_keep", "expected"),
    [
        ((6, 512, 2048, 64), "inner_width", "6x512"),  # t5-small
        ((12, 768, 3072, 96), "inner_width", "12x768"),  # t5-base with 8 heads
        ((12, 768, 3072, 64), "head_size", "12x768, head size 64"),
        ((2, 64, 64, 8), "inner_width", "2x64, feed-forward 64"),
        ((2, 64, 128, 16), "head_size", "2x64, feed-forward 128, head size 16"),
    ],
)
def test_shapes(sizes, heads_keep, expected):
    of_blip = planned_config("blip", "vqa").model
    model = of_blip.model_copy(update=dict(zip(SHAPE, sizes, strict=True)))
    assert describe_shape("blip", model, heads_keep) == expected


def test_sides_of_their_own_are_named_with_their_heads():
    """BLIP large: ViT-L (salesforce/BLIP, models/blip.py, create_vit) and BERT base (med_config.json)."""
    sizes = ("layers", "width", "feed_forward", "heads", "head_size")
    vision, text = (
        dict(zip(sizes, values, strict=True))
        for values in ((24, 1024, 4096, 16, 64), (12, 768, 3072, 12, 64))
    )
    model = planned_config("blip", "vqa").model
    expected = "vision 24x1024, 16 heads; text 12x768, 12 heads"
    for compared, name, other in ((vision, "text", text), (text, "vision", vision)):
        large = model.model_copy(update={**compared, "other_sides": {name: Side(**other)}})
        assert describe_shape("blip", large, "inner_width") == expected
    narrow = model.model_copy(
        update={**vision, "other_sides": {"text": Side(**{**text, "feed_forward": 768})}}
    )
    assert describe_shape("blip", narrow, "inner_width").endswith("text 12x768, feed-forward 768, 12 heads")


@pytest.mark.parametrize(
    ("start", "cut", "source"),
    [
        (None, "random", "random"),
        (Start(cut="none", inherit_heads=None, run_id="a-run"), "as is", "pretrain run a-run"),
        (Start(cut="inherit", inherit_heads="first", run_id="r"), "inherit first", "pretrain run r"),
        (Start(cut="inherit", inherit_heads="spread", run_id="r"), "inherit spread", "pretrain run r"),
        (
            Start(cut="remap", inherit_heads=None, checkpoints=["bert", "vit"], hash="0123456789"),
            "remap",
            "bert, vit (01234567)",
        ),
    ],
)
def test_what_a_model_starts_from(start, cut, source):
    assert describe_cut(start) == cut
    assert describe_start(start) == source


def test_a_pre_training_has_a_model_but_no_teacher_and_no_student(fake):
    row = run_columns(fake.pretrain("vlt5", "vl", heads=4))
    expected = {"kind": "pretrain", "task": "pretraining", "heads": 4, "head_size": 12, "shape": "2x48"}
    expected |= {"loss": "pretrain", "pretraining": "vl", "cut": "random", "start": "random"}
    nothing = ("teacher_id", "teacher_heads", "student_heads", "student", "student_shape")
    expected |= dict.fromkeys((*nothing, "teacher_pretraining", "assistant"))
    assert {column: row[column] for column in expected} == expected


def test_how_a_teachers_outputs_are_had_stands_in_the_row(fake):
    teacher, plain, taught = fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce", "logit_kd"), seeds=1).runs
    found = [run_columns(run)["teacher_outputs"] for run in (teacher, plain, taught)]
    assert found == [None, None, "float32"]


def test_only_students_have_the_name_of_their_size(fake):
    teacher, student = fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce",), seeds=1).runs
    assert run_columns(replace(student, student_name="small"))["student"] == "small"
    assert run_columns(student)["student"] == ""
    assert run_columns(teacher)["student"] is None
