"""Settings find their teachers by their axes; runs that the tables could not tell apart are refused."""

from dataclasses import replace

import pytest

from amad_bench.analysis.collect import collect
from amad_bench.analysis.settings import settings
from amad_bench.analysis.tables.comparisons import comparisons_table
from amad_bench.analysis.tables.headroom import headroom_table
from amad_bench.analysis.tables.results import results_table
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
    results = results_table(collected)
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


CONDITIONS = {"pretraining.teacher": ["none", "vl"], "pretraining.student": ["none", "text"]}


@pytest.fixture
def shared(fake, tmp_path):
    """Tables of a plan in which settings with two teachers share their plain students, and its runs."""
    gaps = ((8, 2), (8, 4))
    plan = fake.plan(tasks=VQA, losses=("amad_kl", "ce"), gaps=gaps, changes=CONDITIONS)
    for run in plan.runs:
        fake.write(tmp_path, run)
    return collect(plan, tmp_path), plan


def test_settings_with_other_teachers_share_their_plain_students(shared):
    """The teacher's condition x the student's in each block; plain students stand in two settings each."""
    tables, _ = shared
    found = settings(tables.runs)
    axes = ("student_heads", "teacher_pretraining", "pretraining")
    assert [tuple(setting.axes[axis] for axis in axes) for setting in found] == [
        (heads, teacher, student)
        for teacher in ("none", "vl")
        for heads in (2, 4)
        for student in ("none", "text")
    ]
    for setting in found:
        heads, teacher, student = (setting.axes[axis] for axis in axes)
        pair = "to".join(dict.fromkeys((teacher, student)))
        assert {loss: rows["run_id"].tolist() for loss, rows in setting.by_loss().items()} == {
            "teacher": [f"vlt5-vqa-h8-teacher-{teacher}-s00"],
            "amad_kl": [f"vlt5-vqa-h8to{heads}-amad_kl-{pair}-s0{number}" for number in range(2)],
            "ce": [f"vlt5-vqa-h8to{heads}-ce-{student}-s0{number}" for number in range(2)],
        }
        assert set(setting.students["teacher_pretraining"]) == {teacher}
    plain = tables.runs[tables.runs["loss_name"].eq("ce") & tables.runs["kind"].eq("student")]
    assert len(plain) == 2 * 2 * 2
    assert plain[["teacher_id", "teacher_pretraining"]].isna().all(axis=None)
    assert tables.runs["block"].isna().all()
    assert tables.scores["run_id"].nunique() == 2 + len(plain) + 2 * 2 * 2 * 2


def test_tables_of_settings_with_shared_students_are_those_of_each_alone(shared):
    """Against means over the runs' own score files, by their names."""
    tables, _ = shared
    metric = tables.scores[tables.scores["metric"] == "vqa_accuracy"]
    by_run = metric.groupby(["split", "run_id"])["value"].mean().mul(100)
    results = results_table(tables).query("primary")
    headroom = headroom_table(tables)
    compared = comparisons_table(tables)
    assert (len(results), len(headroom), len(compared)) == (8 * 3, 8, 8)
    means = results.set_index(["student_heads", "teacher_pretraining", "pretraining", "loss"])["mean"]
    for room, contrast in zip(headroom.to_dict("records"), compared.to_dict("records"), strict=True):
        heads, teacher, student = (
            room[axis] for axis in ("student_heads", "teacher_pretraining", "pretraining")
        )
        pair = "to".join(dict.fromkeys((teacher, student)))
        names = {
            "teacher": [f"vlt5-vqa-h8-teacher-{teacher}-s00"],
            "ce": [f"vlt5-vqa-h8to{heads}-ce-{student}-s0{number}" for number in range(2)],
            "amad_kl": [f"vlt5-vqa-h8to{heads}-amad_kl-{pair}-s0{number}" for number in range(2)],
        }
        expected = {loss: by_run["test"][runs].mean() for loss, runs in names.items()}
        for loss, mean in expected.items():
            assert means[heads, teacher, student, loss] == pytest.approx(mean)
        assert (room["teacher"], room["ce"]) == pytest.approx((expected["teacher"], expected["ce"]))
        assert room["ce_blind"] == pytest.approx(by_run["test_blind"][names["ce"]].mean())
        assert contrast["difference"] == pytest.approx(expected["amad_kl"] - expected["ce"])
        assert (contrast["loss_a"], contrast["loss_b"], contrast["n_seeds"]) == ("amad_kl", "ce", 2)
        assert contrast["scope"] == "this teacher"


def test_plain_students_alone_stand_beside_every_teacher(fake, tmp_path):
    plan = fake.plan(tasks=VQA, losses=("ce",), seeds=1, changes=CONDITIONS)
    found = settings(collect(plan, tmp_path).runs)
    assert [setting.run_ids for setting in found] == [
        [f"vlt5-vqa-h8-teacher-{teacher}-s00", f"vlt5-vqa-h8to2-ce-{student}-s00"]
        for teacher in ("none", "vl")
        for student in ("none", "text")
    ]


def test_a_plain_student_whose_teacher_is_not_in_the_table_keeps_its_row(fake, tmp_path):
    run = fake.plan(tasks=VQA, losses=("ce",), seeds=1).runs[-1]
    (setting,) = settings(collect(Plan([run]), tmp_path).runs)
    assert setting.run_ids == [run.id]


def test_a_setting_that_two_sizes_share_is_named_after_both(fake, tmp_path):
    """Else the results of one of them would seem to be missing."""
    sizes = {"own": SIZE, "cut": SIZE | {"cut": "inherit"}}
    changes = {"models.vlt5.student": None, "models.vlt5.students": sizes, **CONDITIONS}
    plan = fake.plan(tasks=VQA, losses=("ce", "amad_kl"), seeds=1, changes=changes)
    for run in plan.runs:
        fake.write(tmp_path, run)
    tables = collect(plan, tmp_path)
    results = results_table(tables).query("primary")
    shown = results.groupby("pretraining")["student"].unique().map(set).to_dict()
    assert shown == {"none": {"own | cut"}, "text": {"own", "cut"}}
    assert results.groupby(["teacher_pretraining", "pretraining", "student"]).size().tolist() == [3] * 6


@pytest.mark.parametrize("scenes_per", ["sweep", "block"])
def test_blocks_with_teachers_of_their_own(fake, tmp_path, scenes_per):
    """An assistant that a block trains for itself is no student of the block with its number of heads."""
    via = [{"name": "amad", "label": "amad_via", "assistant": {"heads": 4, "loss": "amad_kl"}}]
    losses = [{"name": "ce"}, {"name": "amad", "variant": "kl"}, *via]
    changes = {"teacher_per": "block", "scenes_per": scenes_per, "losses": losses, **CONDITIONS}
    plan = fake.plan(tasks=VQA, gaps=((8, 2), (8, 4)), changes=changes)
    runs = [run for run in plan.runs if run.kind != "pretrain"]
    table = collect(Plan(runs), tmp_path).runs
    assert set(table["block"]) == {"8 -> 2", "8 -> 4"}
    found = settings(table)
    assert len(found) == 2 * 2 * 2
    for setting in found:
        heads = setting.axes["student_heads"]
        assert all(run_id.endswith(f"of 8 -> {heads}") for run_id in setting.run_ids)
        losses = {loss: len(rows) for loss, rows in setting.by_loss().items()}
        assert losses == {"teacher": 1, "ce": 2, "amad_kl": 2, "amad_via": 2}
    settled = {run_id for setting in found for run_id in setting.run_ids}
    assistants = {run.id for run in runs} - settled
    assert assistants == {
        f"vlt5-vqa-h8to4-amad_kl-{pair}-s0{number}-of 8 -> 2"
        for pair in ("none", "nonetotext", "vltonone", "vltotext")
        for number in range(2)
    }


def test_students_that_budgets_share_stand_in_both_settings(fake, tmp_path):
    plan = fake.plan(tasks=VQA, losses=("ce", "logit_kd", "amad_kl"), changes={"budgets": ["steps", "flops"]})
    runs = collect(plan, tmp_path).runs
    assert runs["budget"].dropna().value_counts().to_dict() == {"steps | flops": 2, "steps": 4, "flops": 4}
    by_steps, by_flops = settings(runs)
    assert [by_steps.axes["budget"], by_flops.axes["budget"]] == ["steps", "flops"]
    assert by_steps.teachers["run_id"].tolist() == by_flops.teachers["run_id"].tolist()
    for found in (by_steps, by_flops):
        assert list(found.by_loss()) == ["teacher", "ce", "logit_kd", "amad_kl"]
        assert set(found.students["budget"]) == {found.axes["budget"]}
    shared, own = (
        [rows["run_id"].tolist() for rows in (a, b)]
        for a, b in (
            (by_steps.by_loss()["ce"], by_flops.by_loss()["ce"]),
            (by_steps.by_loss()["amad_kl"], by_flops.by_loss()["amad_kl"]),
        )
    )
    assert shared[0] == shared[1]
    assert not set(own[0]) & set(own[1])
