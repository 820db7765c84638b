"""Cells find their teachers by their axes, and scores of different examples are never put side by side."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from amad_bench.analysis.cells import ScoreBook, cells
from amad_bench.analysis.collect import collect
from amad_bench.analysis.results import results_table
from amad_bench.plan.grid import Plan
from amad_bench.runtime.errors import UserError


def test_each_cell_has_its_students_and_its_teacher(fake, tmp_path):
    plan = fake.plan(cells=(("vlt5", "vqa"), ("blip", "vqa")), losses=("ce",), gaps=((8, 2), (8, 4), (4, 2)))
    found = cells(collect(plan, tmp_path).runs)
    assert [(c.axes["family"], c.axes["teacher_heads"], c.axes["student_heads"]) for c in found] == [
        (family, *gap) for family in ("vlt5", "blip") for gap in ((8, 2), (8, 4), (4, 2))
    ]
    for cell in found:  # ce students name no teacher; it is found all the same
        family, heads = cell.axes["family"], cell.axes["teacher_heads"]
        assert cell.teachers["run_id"].tolist() == [f"{family}-vqa-h{heads}-teacher"]
        assert len(cell.students) == 2
        assert list(cell.by_loss()) == ["teacher", "ce"]


def sized(config, **size):
    """Another size, with the heads' size that `fix: inner_width` gives."""
    model = config["model"] | size
    return config | {"model": model | {"head_size": model["width"] // model["heads"]}}


def test_students_of_other_sizes_and_initial_weights_are_cells_of_their_own(fake, tmp_path):
    teacher, *students = fake.plan(cells=(("vlt5", "vqa"),), losses=("ce", "amad_kl"), seeds=1).runs
    cut = {"init": "inherit", "inherit_heads": "first", "weights": ["models/t5"], "hash": "0123456789"}
    kinds = {
        "usual": lambda config: config,
        "deeper": lambda config: sized(config, layers=3),
        "wider": lambda config: sized(config, width=96, feed_forward=384),
        "other feed-forward": lambda config: sized(config, feed_forward=100),
        "text": lambda config: config | {"pretraining": "text", "start": cut | {"init": "random"}},
        "cut": lambda config: config | {"pretraining": "text", "start": cut},
        "remapped": lambda config: config | {"pretraining": "text", "start": cut | {"init": "remap"}},
    }
    runs = [
        replace(run, id=f"{name}, {run.id}", config=change(run.config))
        for name, change in kinds.items()
        for run in students
    ]
    found = cells(collect(Plan([fake.pretrain(), teacher, *runs]), tmp_path).runs)
    axes = ("student_shape", "pretraining", "init")
    assert [tuple(cell.axes[axis] for axis in axes) for cell in found] == [
        ("2x48", "none", "random"),
        ("3x48", "none", "random"),
        ("2x96", "none", "random"),
        ("2x48, feed-forward 100", "none", "random"),
        ("2x48", "text", "as is"),
        ("2x48", "text", "inherit first"),
        ("2x48", "text", "remap"),
    ]
    for name, cell in zip(kinds, found, strict=True):
        assert cell.run_ids == [teacher.id, *(f"{name}, {run.id}" for run in students)]


def test_head_sizes_tell_cells_apart_where_they_are_free(fake, tmp_path):
    teacher, student = fake.plan(cells=(("vlt5", "vqa"),), losses=("ce",), seeds=1).runs
    sizes = [
        replace(student, id=str(size), config=student.config | {"model": student.config["model"] | size})
        for size in ({"head_size": 24}, {"head_size": 12})
    ]
    for run in (teacher, *sizes):
        run.config["fix"] = "head_size"
    found = cells(collect(Plan([teacher, *sizes]), tmp_path).runs)
    assert [cell.axes["student_shape"] for cell in found] == ["2x48, head size 24", "2x48, head size 12"]


@pytest.mark.parametrize("part", ["dropout", "weights"])
def test_names_tell_students_apart_that_differ_in_dropout_or_weights_only(fake, tmp_path, part):
    teacher, *students = fake.plan(cells=(("vlt5", "vqa"),), losses=("ce", "amad_kl")).runs
    start = {"init": "random", "inherit_heads": None, "weights": ["models/t5"]}
    changes = {
        "usual": {"pretraining": "text", "start": start | {"hash": "0123456789"}},
        "other": {"pretraining": "text", "start": start | {"hash": "9876543210"}},
    }
    if part == "dropout":
        model = students[0].config["model"]
        changes = {"usual": {}, "other": {"model": model | {"dropout": 0.1}}}
    runs = [
        replace(run, id=f"{name}, {run.id}", config=run.config | change, student_name=name)
        for name, change in changes.items()
        for run in students
    ]
    collected = collect(Plan([teacher, *runs]), tmp_path)
    found = cells(collected.runs)
    assert [cell.axes["student"] for cell in found] == ["usual", "other"]
    for name, cell in zip(changes, found, strict=True):
        assert cell.run_ids == [teacher.id, *(f"{name}, {run.id}" for run in students)]
    results = results_table(collected.runs, collected.scores, collected.examples)
    assert len(results) == 2 * len(results[results["student"] == "usual"]) > 0


def page(run_id, examples, metric="exact_match"):
    values = np.arange(len(examples), dtype=float)
    return pd.DataFrame(
        {
            "run_id": run_id,
            "split": "test",
            "metric": metric,
            "example_id": examples,
            "cluster_id": [example[0] for example in examples],
            "value": values / 10,
            "statistics": None,
        }
    )


def test_matrix_is_in_points_and_in_the_order_of_examples():
    book = ScoreBook(pd.concat([page("r", ["b1", "a1", "a2"]), page("s", ["a2", "a1", "b1"])]))
    matrix = book.matrix(["r", "s"], "exact_match")
    np.testing.assert_allclose(matrix.values, [[10, 20, 0], [10, 0, 20]])
    assert matrix.clusters.tolist() == ["a", "a", "b"]
    np.testing.assert_allclose(matrix.scores_S(), [10, 10])


def test_part_of_a_matrix_is_those_examples_in_all_its_arrays():
    book = ScoreBook(pd.concat([page("r", ["a1", "a2", "b1"]), page("s", ["a1", "a2", "b1"])]))
    part = book.matrix(["r", "s"], "exact_match").part(pd.Index(["b1", "a2", "not here"]))
    np.testing.assert_allclose(part.values, [[10, 20], [10, 20]])
    assert part.examples.tolist() == ["a2", "b1"]
    assert part.clusters.tolist() == ["a", "b"]
    np.testing.assert_allclose(part.scores_S(), [15, 15])


@pytest.mark.parametrize("others", [["a1", "a2"], ["a1", "a2", "c1"]])
def test_other_examples_are_refused(others):
    book = ScoreBook(pd.concat([page("r", ["a1", "a2", "b1"]), page("s", others)]))
    with pytest.raises(UserError, match="exact_match of run s: its example_ids on the split test"):
        book.matrix(["r", "s"], "exact_match")


def test_runs_that_the_tables_cannot_tell_apart_are_refused(fake, tmp_path):
    plan = fake.plan(cells=(("vlt5", "vqa"),), losses=("ce",), seeds=1)
    last = fake.plan(cells=(("vlt5", "vqa"),), losses=("ce",), seeds=1).runs[-1]
    twin = replace(last, id="the-twin")
    with pytest.raises(UserError, match="runs vlt5-vqa-h8to2-ce-s00 and the-twin differ in nothing"):
        cells(collect(Plan([*plan.runs, twin]), tmp_path).runs)
    twin.config["training"]["examples"] = "all"
    assert [cell.axes["examples"] for cell in cells(collect(Plan([*plan.runs, twin]), tmp_path).runs)] == [
        "6000",
        "all",
    ]
