"""Settings find their teachers by their axes; runs that the tables could not tell apart are refused."""

from dataclasses import replace

import pytest

from amad_bench.analysis.collect import collect
from amad_bench.analysis.results import results_table
from amad_bench.analysis.settings import settings
from amad_bench.plan.plan import Plan
from amad_bench.runtime.errors import UserError


def test_each_setting_has_its_students_and_its_teacher(fake, tmp_path):
    plan = fake.plan(tasks=(("vlt5", "vqa"), ("blip", "vqa")), losses=("ce",), gaps=((8, 2), (8, 4), (4, 2)))
    found = settings(collect(plan, tmp_path).runs)
    assert [(c.axes["family"], c.axes["teacher_heads"], c.axes["student_heads"]) for c in found] == [
        (family, *gap) for family in ("vlt5", "blip") for gap in ((8, 2), (8, 4), (4, 2))
    ]
    for setting in found:  # ce students name no teacher; it is found all the same
        family, heads = setting.axes["family"], setting.axes["teacher_heads"]
        assert setting.teachers["run_id"].tolist() == [f"{family}-vqa-h{heads}-teacher"]
        assert len(setting.students) == 2
        assert list(setting.by_loss()) == ["teacher", "ce"]


def sized(config, **size):
    """Another size, with the heads' size that `heads.keep: inner_width` gives."""
    model = config.model | size
    return config | {"model": model | {"head_size": model["width"] // model["heads"]}}


def test_students_of_other_sizes_and_cuts_are_settings_of_their_own(fake, tmp_path):
    teacher, *students = fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce", "amad_kl"), seeds=1).runs
    cut = {"cut": "inherit", "inherit_heads": "first", "weights": ["models/t5"], "hash": "0123456789"}
    kinds = {
        "usual": lambda config: config,
        "deeper": lambda config: sized(config, layers=3),
        "wider": lambda config: sized(config, width=96, feed_forward=384),
        "other feed-forward": lambda config: sized(config, feed_forward=100),
        "text": lambda config: config | {"pretraining": "text", "start": cut | {"init": "random"}},
        "cut": lambda config: config | {"pretraining": "text", "start": cut},
        "remapped": lambda config: config | {"pretraining": "text", "start": cut | {"cut": "remap"}},
    }
    runs = [
        replace(run, id=f"{name}, {run.id}", config=change(run.config))
        for name, change in kinds.items()
        for run in students
    ]
    found = settings(collect(Plan([fake.pretrain(), teacher, *runs]), tmp_path).runs)
    axes = ("student_shape", "pretraining", "cut")
    assert [tuple(setting.axes[axis] for axis in axes) for setting in found] == [
        ("2x48", "none", "random"),
        ("3x48", "none", "random"),
        ("2x96", "none", "random"),
        ("2x48, feed-forward 100", "none", "random"),
        ("2x48", "text", "as is"),
        ("2x48", "text", "inherit first"),
        ("2x48", "text", "remap"),
    ]
    for name, setting in zip(kinds, found, strict=True):
        assert setting.run_ids == [teacher.id, *(f"{name}, {run.id}" for run in students)]


def test_head_sizes_tell_settings_apart_where_they_are_free(fake, tmp_path):
    teacher, student = fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce",), seeds=1).runs
    sizes = [
        replace(student, id=str(size), config=student.config | {"model": student.config.model | size})
        for size in ({"head_size": 24}, {"head_size": 12})
    ]
    for run in (teacher, *sizes):
        run.config.heads_keep = "head_size"
    found = settings(collect(Plan([teacher, *sizes]), tmp_path).runs)
    shapes = [setting.axes["student_shape"] for setting in found]
    assert shapes == ["2x48, head size 24", "2x48, head size 12"]


@pytest.mark.parametrize("part", ["dropout", "checkpoint"])
def test_names_tell_students_apart_that_differ_in_dropout_or_checkpoint_only(fake, tmp_path, part):
    teacher, *students = fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce", "amad_kl")).runs
    start = {"init": "random", "inherit_heads": None, "weights": ["models/t5"]}
    changes = {
        "usual": {"pretraining": "text", "start": start | {"hash": "0123456789"}},
        "other": {"pretraining": "text", "start": start | {"hash": "9876543210"}},
    }
    if part == "dropout":
        model = students[0].config.model
        changes = {"usual": {}, "other": {"model": model | {"dropout": 0.1}}}
    runs = [
        replace(run, id=f"{name}, {run.id}", config=run.config | change, student_name=name)
        for name, change in changes.items()
        for run in students
    ]
    collected = collect(Plan([teacher, *runs]), tmp_path)
    found = settings(collected.runs)
    assert [setting.axes["student"] for setting in found] == ["usual", "other"]
    for name, setting in zip(changes, found, strict=True):
        assert setting.run_ids == [teacher.id, *(f"{name}, {run.id}" for run in students)]
    results = results_table(collected.runs, collected.scores, collected.examples)
    assert len(results) == 2 * len(results[results["student"] == "usual"]) > 0


def test_runs_that_the_tables_cannot_tell_apart_are_refused(fake, tmp_path):
    plan = fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce",), seeds=1)
    last = fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce",), seeds=1).runs[-1]
    twin = replace(last, id="the-twin")
    with pytest.raises(UserError, match="runs vlt5-vqa-h8to2-ce-s00 and the-twin differ in nothing"):
        settings(collect(Plan([*plan.runs, twin]), tmp_path).runs)
    twin.config.training.examples = "all"
    found = settings(collect(Plan([*plan.runs, twin]), tmp_path).runs)
    assert [setting.axes["examples"] for setting in found] == ["6000", "all"]
