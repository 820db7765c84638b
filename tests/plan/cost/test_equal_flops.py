"""Students at equal FLOPs: their steps against a budget that is added up here, by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amad_bench.data.prepare import prepare
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.config.schema import Config
from amad_bench.plan.cost.data_facts import estimated_facts
from amad_bench.plan.cost.run_cost import pass_cost
from amad_bench.plan.grid import expand, find_run
from amad_bench.plan.overview import overview
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from tests.planned import small_config

Raw = dict[str, Any]
Planned = Callable[[Any], Plan]
Errors = Callable[[Any], list[str]]
STEPS, BATCH, EXAMPLES = 400, 8, 60


@pytest.fixture
def vqa(raw: Raw) -> Raw:
    """VL-T5 on one task, with both budgets; steps enough for the teacher's passes to be a part of them."""
    raw["models"].pop("blip")
    raw["sites"].pop("blip")
    raw["tasks"].pop()
    raw["tasks"][0]["student"] |= {"steps": STEPS, "warmup": 0.25, "evaluations": 4}
    raw |= {"replicates": 1, "budgets": ["steps", "flops"], "losses": [{"name": "ce"}, {"name": "logit_kd"}]}
    return raw


def of(plan: Plan, label: str, budget: str) -> list[Run]:
    found = [run for run in plan.runs if run.kind == "student" and run.config.loss.label == label]
    return [run for run in found if budget in run.budget.split(" | ")]


def only(runs: list[Run]) -> Run:
    (run,) = runs
    return run


def forward(run: Run) -> int:
    """FLOPs of a forward pass of an example, by the family's formula."""
    cost = pass_cost(run.config, estimated_facts(run.config))
    assert cost is not None
    return cost.forward


def test_stored_outputs_are_made_once_for_each_example(vqa: Raw, planned: Planned) -> None:
    plan = planned(vqa)
    teacher = only([run for run in plan.runs if run.kind == "teacher"])
    plain, taught = only(of(plan, "ce", "flops")), only(of(plan, "logit_kd", "flops"))
    student = forward(taught)
    budget = 3 * student * BATCH * STEPS  # forward and backward
    left = budget - EXAMPLES * forward(teacher)
    assert taught.config.training.steps == left // (3 * student * BATCH) < STEPS
    assert plain.config.training.steps == STEPS
    assert (plain.budget, taught.budget) == ("steps | flops", "flops")
    assert (taught.config.training.warmup, taught.config.training.evaluations) == (0.25, 4)


def test_a_teacher_that_runs_for_each_batch_is_paid_for_each_batch(vqa: Raw, planned: Planned) -> None:
    plan = planned(vqa | {"teacher_outputs": "online"})
    teacher = only([run for run in plan.runs if run.kind == "teacher"])
    taught = only(of(plan, "logit_kd", "flops"))
    student = forward(taught)
    assert taught.config.training.steps == 3 * student * STEPS // (3 * student + forward(teacher))


def test_a_budget_is_a_row_and_a_setting_of_its_own(vqa: Raw, planned: Planned) -> None:
    plan = planned(vqa)
    steps, flops = only(of(plan, "logit_kd", "steps")), only(of(plan, "logit_kd", "flops"))
    assert steps.id.rpartition("-")[0] == flops.id.rpartition("-")[0]
    assert steps.id != flops.id
    assert (flops.teacher_id, flops.config.seeds) == (steps.teacher_id, steps.config.seeds)
    rows = [row.rsplit(maxsplit=3) for row in overview(plan).split("\n") if " 8 -> 2 heads" in row]
    assert rows == [
        ["vlt5 vqa scenes 8 -> 2 heads", "-", "1", "1"],
        ["vlt5 vqa scenes 8 -> 2 heads, equal FLOPs", "-", "-", "1"],
    ]


def test_a_loss_that_costs_more_trains_less(vqa: Raw, planned: Planned) -> None:
    vqa["losses"] += [{"name": "student_mean"}, {"name": "amad"}]
    plan = planned(vqa)
    labels = ("ce", "logit_kd", "student_mean", "amad_kl")
    steps = [only(of(plan, label, "flops")).config.training.steps for label in labels]
    assert steps == sorted(set(steps), reverse=True)
    (line,) = [line for line in overview(plan).split("\n") if line.startswith("steps at equal FLOPs")]
    assert f"amad_kl {steps[-1] / STEPS:.0%}".rstrip("%") in line


def test_without_the_axis_nothing_changes(vqa: Raw, planned: Planned) -> None:
    both = planned(vqa)
    alone = planned({key: value for key, value in vqa.items() if key != "budgets"})
    assert [run.id for run in alone.runs] == [run.id for run in both.runs if run.budget != "flops"]
    assert {run.budget for run in alone.runs} == {"", "steps"}


def test_a_run_is_found_by_its_id(vqa: Raw, planned: Planned) -> None:
    wanted = only(of(planned(vqa), "logit_kd", "flops"))
    assert find_run(Config.model_validate(vqa), wanted.id) == wanted


def test_prepared_data_change_no_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a run would have another id as soon as its data are there."""
    monkeypatch.chdir(tmp_path)
    raw = small_config("vlt5", "vqa").model_dump(mode="json", exclude_unset=True)
    raw |= {"budgets": ["steps", "flops"], "losses": [{"name": "ce"}, {"name": "logit_kd"}]}
    raw["tasks"][0]["student"]["steps"] = 200
    config = small_config("vlt5", "vqa").model_validate(raw)
    before = expand(config)
    prepare(before.runs[0].config)
    assert [run.id for run in expand(config).runs] == [run.id for run in before.runs]


def test_an_assistant_takes_the_whole_budget(vqa: Raw, planned: Planned) -> None:
    """It costs as much as a student: the inner width is kept, whatever its heads."""
    vqa["losses"] += [{"name": "logit_kd", "label": "via_4", "assistant": {"heads": 4, "loss": "logit_kd"}}]
    plan = planned(vqa)
    assert len(of(plan, "via_4", "steps")) == 1
    assert [(skip.setting, skip.reason) for skip in plan.skipped] == [
        (
            "vlt5-vqa-scenes-h8to2-via_4-flops",
            "equal FLOPs leave it 0 of 400 steps, fewer than its 4 evaluations",
        )
    ]


def test_fewer_steps_than_evaluations_are_skipped(vqa: Raw, planned: Planned) -> None:
    vqa["tasks"][0]["student"] |= {"steps": 4, "evaluations": 4}
    plan = planned(vqa)
    assert "fewer than its 4 evaluations" in plan.skipped[0].reason
    assert not [run for run in plan.runs if run.budget == "flops"]


def test_a_family_without_a_formula_is_skipped(
    vqa: Raw, planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    record: Any = FAMILIES["vlt5"]
    monkeypatch.setitem(FAMILIES, "vlt5", type(record)(**{**vars(record), "cost": None}))
    assert [skip.reason for skip in planned(vqa).skipped] == [
        "FLOPs of VL-T5 are unknown: its record has no `cost`"
    ]


def test_stored_outputs_of_unknown_data_are_skipped(
    vqa: Raw, planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amad_bench.plan.cost.equal_flops.examples_read", lambda *_: 0)
    assert [skip.reason for skip in planned(vqa).skipped] == [
        "the number of training examples is unknown; say it in `student.examples`"
    ]


def test_flops_without_what_they_are_reckoned_from_is_refused(
    vqa: Raw, errors: Callable[[Any], list[str]]
) -> None:
    assert errors(vqa | {"budgets": ["flops"]}) == [
        "budgets: steps is always one of them, flops is reckoned from it; write [steps, flops]"
    ]
    assert errors(vqa | {"losses": [{"name": "logit_kd"}]}) == [
        "budgets: flops needs the loss ce, whose FLOPs are the budget; add `{name: ce}` to losses"
    ]
