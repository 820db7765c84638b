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


def test_descriptions():
    limit, part = {"train": 20, "validation": 2, "test": 3}, {"subset": True}
    limited = "limited to train 20, validation 2, test 3"
    for options, given, expected in (
        ({"seed": 0}, None, "no data limit"),
        ({"seed": 0}, limit, limited),
        ({"subset": False}, None, "no data limit"),
        (part, None, "a part of the official files"),
        (part, limit, f"a part of the official files; {limited}"),
    ):
        assert describe_limit({"options": options, "limit": given}) == expected
    assert describe_inputs({"kind": "pixels", "size": 48, "patch": 8}) == "pixels: size 48, patch 8"
    extracted = {"kind": "extracted", "model": "models/vit-base", "rows": 6, "hash": "0123456789ab"}
    assert describe_inputs(extracted) == "extracted: model vit-base, rows 6, hash 01234567"


def model(layers, width, feed_forward, head_size):
    return {"layers": layers, "width": width, "feed_forward": feed_forward, "head_size": head_size}


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
    assert describe_shape(model(*sizes), heads_keep) == expected


@pytest.mark.parametrize(
    ("start", "cut", "source"),
    [
        (None, "random", "random"),
        ({"init": "random", "inherit_heads": None, "run_id": "a-run"}, "as is", "pretrain run a-run"),
        ({"cut": "inherit", "inherit_heads": "first", "run_id": "r"}, "inherit first", "pretrain run r"),
        ({"cut": "inherit", "inherit_heads": "spread", "run_id": "r"}, "inherit spread", "pretrain run r"),
        (
            {"cut": "remap", "inherit_heads": None, "weights": ["bert", "vit"], "hash": "0123456789"},
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


def test_only_students_have_the_name_of_their_size(fake):
    teacher, student = fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce",), seeds=1).runs
    assert run_columns(replace(student, student_name="small"))["student"] == "small"
    assert run_columns(student)["student"] == ""
    assert run_columns(teacher)["student"] is None
