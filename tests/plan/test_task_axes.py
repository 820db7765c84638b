"""Axes that a task entry may have of its own: replicates, and its students' pre-training."""

from collections import Counter

import pytest

from tests.plan.config.checks.test_pretraining import TRAINING


@pytest.fixture
def pretrained(raw):
    raw["pretraining"] = {
        "student": ["none", "text", "vl"],
        "training": {
            family: {condition: dict(TRAINING) for condition in ("text", "vl")} for family in raw["models"]
        },
    }
    raw["models"]["vlt5"]["order_embedding"] = True  # of `vl`
    return raw


def students(plan) -> Counter[tuple[str, str]]:
    return Counter((run.config.family, run.config.pretraining) for run in plan.runs if run.kind == "student")


def test_replicates_of_one_entry(raw, load, planned) -> None:
    before = planned(raw)
    raw["tasks"][1]["replicates"] = 3
    plan = planned(raw)
    assert students(plan) == {("vlt5", "none"): 3 * 2, ("blip", "none"): 3 * 3}
    assert set(before.by_id) < set(plan.by_id)  # the others stay what they are
    assert load(raw).students == 4 * (2 + 3)  # before a loss is found to be impossible


def test_replicates_of_one_entry_have_teachers_of_their_own(raw, planned) -> None:
    raw["teacher_per"] = "replicate"
    raw["tasks"][1]["replicates"] = 3
    teachers = Counter(run.config.family for run in planned(raw).runs if run.kind == "teacher")
    assert teachers == {"vlt5": 2, "blip": 3}


def test_students_pretraining_of_one_entry(pretrained, load, planned) -> None:
    everything = planned(pretrained)
    pretrained["tasks"][1]["student_pretraining"] = ["vl"]
    plan = planned(pretrained)
    of_vlt5 = [("vlt5", condition) for condition in ("none", "text", "vl")]
    assert students(plan) == dict.fromkeys([*of_vlt5, ("blip", "vl")], 3 * 2)
    assert set(plan.by_id) < set(everything.by_id)
    assert {run.config.pretraining for run in plan.runs if run.kind == "pretrain"} == {"text", "vl"}
    assert not any(
        run.config.family == "blip" and run.config.pretraining == "text" for run in plan.runs
    )  # nothing needs it
    assert load(pretrained).students == 4 * 2 * (3 + 1)


def test_it_must_be_one_of_all(pretrained, errors) -> None:
    pretrained["pretraining"]["student"] = ["none", "vl"]
    pretrained["tasks"][0]["student_pretraining"] = ["text"]
    assert errors(pretrained) == [
        "tasks[0].student_pretraining: text is none of pretraining.student, which is none, vl; add it there, "
        "or remove it here"
    ]


@pytest.mark.parametrize("value", [0, -1, []])
def test_no_replicate_is_refused(raw, errors, value) -> None:
    raw["tasks"][0]["replicates"] = value
    (line,) = errors(raw)
    assert line.startswith("tasks[0].replicates: ")
