"""A grid of which only parts are trained: their union, under the ids that the whole grid gives."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from tests.plan.config.checks.test_pretraining import TRAINING

Raw = dict[str, Any]
Planned = Callable[[Any], Plan]
PARTS = [
    {"losses": ["ce", "logit_kd"], "teacher_pretraining": ["none"], "budgets": ["steps"]},
    {"heads": [[8, 2]], "teacher_pretraining": ["none"], "budgets": ["steps"]},
    {"heads": [[8, 2]], "teacher_pretraining": ["vl"], "losses": ["ce", "amad_kl"], "budgets": ["steps"]},
    {"heads": [[8, 4]], "families": ["vlt5"], "tasks": ["vqa"], "losses": ["logit_kd"], "budgets": ["flops"]},
]


@pytest.fixture
def vqa(raw: Raw) -> Raw:
    """Two blocks with teachers of their own, two conditions of teachers, three losses, both budgets."""
    raw["models"].pop("blip")
    raw["models"]["vlt5"]["order_embedding"] = True
    raw["sites"].pop("blip")
    raw["tasks"].pop()
    raw["tasks"][0]["student"]["steps"] = 400
    raw |= {"heads": {"teacher": [8], "student": [2, 4]}, "budgets": ["steps", "flops"], "replicates": 1}
    raw |= {"losses": [{"name": name} for name in ("ce", "logit_kd", "amad")], "teacher_per": "block"}
    training = {"vlt5": {"vl": dict(TRAINING)}}
    raw["pretraining"] = {"teacher": ["none", "vl"], "student": ["none"], "training": training}
    return raw


def described(run: Run) -> tuple[Any, ...]:
    config = run.config
    return config.model.heads, config.teacher_pretraining, config.loss.label, run.budget


def test_what_is_trained_is_the_union_of_the_parts(vqa: Raw, planned: Planned) -> None:
    plan = planned(vqa | {"grid": PARTS})
    students = [run for run in plan.runs if run.kind == "student"]
    assert Counter(map(described, students)) == Counter(
        {
            (2, None, "ce", "steps"): 1,
            (2, "none", "logit_kd", "steps"): 1,
            (2, "none", "amad_kl", "steps"): 1,
            (2, "vl", "amad_kl", "steps"): 1,
            (4, None, "ce", "steps | flops"): 1,
            (4, "none", "logit_kd", "steps"): 1,
            (4, "none", "logit_kd", "flops"): 1,
            (4, "vl", "logit_kd", "flops"): 1,
        }
    )
    teachers = Counter(run.config.pretraining for run in plan.runs if run.kind == "teacher")
    assert teachers == {"none": 2, "vl": 2}
    assert not plan.skipped


def test_a_part_has_the_runs_of_the_whole(vqa: Raw, planned: Planned) -> None:
    whole = planned(vqa)
    assert {run.id for run in planned(vqa | {"grid": PARTS}).runs} < {run.id for run in whole.runs}
    assert planned(vqa | {"grid": [{}]}).hash == whole.hash


def test_what_is_not_asked_for_is_not_even_skipped(vqa: Raw, planned: Planned) -> None:
    vqa["losses"].append({"name": "minilm"})  # refuses these head counts
    assert planned(vqa).skipped
    plan = planned(vqa | {"grid": [{"losses": ["logit_kd"], "budgets": ["steps"]}]})
    assert not plan.skipped
    assert {run.config.loss.label for run in plan.runs if run.kind == "student"} == {"logit_kd"}


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (
            {"heads": [[8, 3]]},
            "grid[0].heads: [8, 3] is no pair of the swept `heads`, [teacher's, student's]",
        ),
        ({"losses": ["amad_lk"]}, "grid[0].losses: unknown value of this config 'amad_lk'"),
        ({"tasks": ["captioning"]}, "grid[0].tasks: unknown value of this config 'captioning'"),
        ({"student_pretraining": ["vl"]}, "grid[0].student_pretraining: unknown value of this config 'vl'"),
        ({"heads": [8]}, "grid[0].heads[0]: expected [teacher's heads, student's heads], found 8"),
        ({"budgets": []}, "grid[0].budgets: expected a list with at least one entry"),
        ({"loss": ["ce"]}, "grid[0].loss: unknown key"),
    ],
)
def test_mistakes_are_said(vqa: Raw, errors: Callable[[Any], list[str]], part: Raw, said: str) -> None:
    (line,) = errors(vqa | {"grid": [part]})
    assert line.startswith(said)
