"""Settings find their teachers by their axes; runs that the tables could not tell apart are refused."""

from dataclasses import replace

import pytest

from amad_bench.analysis.collect import collect
from amad_bench.analysis.results import results_table
from amad_bench.analysis.settings import settings
from amad_bench.plan.plan import Plan
from amad_bench.plan.run_config import Start
from amad_bench.runtime.errors import UserError
from tests.analysis.conftest import SIZE

VQA = (("vlt5", "vqa"),)


def test_each_setting_has_its_students_and_its_teacher(fake, tmp_path):
    plan = fake.plan(tasks=(("vlt5", "vqa"), ("blip", "vqa")), losses=("ce",), gaps=((8, 2), (8, 4), (4, 2)))
    found = settings(collect(plan, tmp_path).runs)
    assert [(c.axes["family"], c.axes["teacher_heads"], c.axes["student_heads"]) for c in found] == [
        (family, *gap) for family in ("vlt5", "blip") for gap in ((8, 2), (8, 4), (4, 2))
    ]
    for setting in found:  # ce students name no teacher; it is found all the same
        family, heads = setting.axes["family"], setting.axes["teacher_heads"]
        assert setting.teachers["run_id"].tolist() == [f"{family}-vqa-h{heads}-teacher-none-s00"]
        assert len(setting.students) == 2
        assert list(setting.by_loss()) == ["teacher", "ce"]


KINDS = {
    "usual": {},
    "deeper": {"models.vlt5.student.layers": 3},
    "wider": {"models.vlt5.student.width": 96, "models.vlt5.student.feed_forward": 384},
    "other feed-forward": {"models.vlt5.student.feed_forward": 100},
    "text": {"pretraining.student": ["text"]},
    "cut": {"pretraining.student": ["text"], "models.vlt5.student.cut": "inherit"},
    "remapped": {"pretraining.student": ["text"], "models.vlt5.student.cut": "remap"},
}


def test_students_of_other_sizes_and_cuts_are_settings_of_their_own(fake, tmp_path):
    plans = []
    for name, changes in KINDS.items():
        plan = fake.plan(tasks=VQA, losses=("ce", "amad_kl"), seeds=1, changes=changes)
        runs = [replace(run, id=f"{name}, {run.id}") if run.kind == "student" else run for run in plan.runs]
        plans.append(Plan(runs))
    plan = fake.join(*plans)
    found = settings(collect(plan, tmp_path).runs)
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
    (teacher,) = (run.id for run in plan.runs if run.kind == "teacher")
    for name, setting in zip(KINDS, found, strict=True):
        students = [run.id for run in plan.runs if run.id.startswith(f"{name}, ")]
        assert len(students) == 2
        assert setting.run_ids == [teacher, *students]


def test_head_sizes_tell_settings_apart_where_they_are_free(fake, tmp_path):
    plans = []
    for size in (24, 12):
        changes = {"heads.keep": "head_size", "models.vlt5.teacher.head_size": 6}
        changes |= {"models.vlt5.student.head_size": size}
        teacher, student = fake.plan(tasks=VQA, losses=("ce",), seeds=1, changes=changes).runs
        plans.append(Plan([teacher, replace(student, id=str(size))]))
    found = settings(collect(fake.join(*plans), tmp_path).runs)
    shapes = [setting.axes["student_shape"] for setting in found]
    assert shapes == ["2x48, head size 24", "2x48, head size 12"]


@pytest.mark.parametrize("part", ["dropout", "checkpoint"])
def test_names_tell_students_apart_that_differ_in_dropout_or_checkpoint_only(fake, tmp_path, part):
    sizes = {"usual": SIZE, "other": SIZE | {"dropout": 0.1}}
    changes = {"models.vlt5.student": None, "models.vlt5.students": sizes}
    teacher, *students = fake.plan(tasks=VQA, losses=("ce", "amad_kl"), changes=changes).runs
    if part == "checkpoint":  # a config's would have to be there
        shared = {"model": students[0].config.model, "pretraining": "text"}
        start = Start(cut="none", inherit_heads=None, checkpoints=["models/t5"])
        known = {"usual": "0123456789", "other": "9876543210"}
        students = [
            fake.vary(run, **shared, start=start.model_copy(update={"hash": known[run.student_name]}))
            for run in students
        ]
    collected = collect(Plan([teacher, *students]), tmp_path)
    found = settings(collected.runs)
    assert [setting.axes["student"] for setting in found] == ["usual", "other"]
    for name, setting in zip(sizes, found, strict=True):
        assert setting.run_ids == [teacher.id, *(run.id for run in students if run.student_name == name)]
    results = results_table(collected.runs, collected.scores, collected.examples)
    assert len(results) == 2 * len(results[results["student"] == "usual"]) > 0


def test_runs_that_the_tables_cannot_tell_apart_are_refused(fake, tmp_path):
    plan = fake.plan(tasks=VQA, losses=("ce",), seeds=1)
    twin = replace(plan.runs[-1], id="the-twin")
    with pytest.raises(UserError, match="runs vlt5-vqa-h8to2-ce-none-s00 and the-twin differ in nothing"):
        settings(collect(Plan([*plan.runs, twin]), tmp_path).runs)
    other = fake.plan(tasks=VQA, losses=("ce",), seeds=1, examples="all").runs[-1]
    twin = replace(other, id="the-twin")
    found = settings(collect(Plan([*plan.runs, twin]), tmp_path).runs)
    assert [setting.axes["examples"] for setting in found] == ["6000", "all"]
