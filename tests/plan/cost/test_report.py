"""What a plan costs, against runs that are trained, and against the published setting's arithmetic."""

from pathlib import Path
from typing import Any

import pytest

from amad_bench.data.prepare import prepare
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.config.load import load_config
from amad_bench.plan.cost.report import cost_report
from amad_bench.plan.cost.run_cost import Costs, pass_cost
from amad_bench.plan.cost.speeds import GPUS, ThisMachine
from amad_bench.plan.grid import expand, possible_plan
from amad_bench.plan.plan import Plan
from amad_bench.runtime.results import RESULTS
from amad_bench.runtime.run_folder.status import Status
from amad_bench.training.run import train_run
from tests.planned import small_config


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.chdir(tmp_path)
    return expand(small_config("blip", "captioning", vocabulary=120))


def test_a_trained_run_counts_the_same(plan: Plan) -> None:
    """Operations of an example, parameters and bytes of weights; only once the data are there."""
    run = plan.runs[0]
    assert not Costs(plan).of(run.id).measured
    assert train_run(run, "cpu") == "done"
    costs, status = Costs(plan), Status.read(RESULTS.run(run.id).status)
    cost = costs.of(run.id)
    assert cost.measured
    assert pass_cost(run.config, costs.facts(run.config)).forward == status.flops_per_example
    assert cost.parameters == status.parameters
    header = 20_000  # of a file of weights: names, shapes
    assert 0 <= RESULTS.run(run.id).checkpoint.stat().st_size - cost.weights < header


def test_prepared_data_are_measured_and_padding_is_not(plan: Plan) -> None:
    config = plan.runs[0].config
    estimated = Costs(plan).facts(config)
    prepare(config)
    measured = Costs(plan).facts(config)
    assert measured.measured
    assert measured.examples == estimated.examples == {"train": 200, "validation": 8, "test": 12}
    assert measured.vocabulary <= 120


def test_finished_runs_say_how_fast_this_machine_is(plan: Plan) -> None:
    teacher, student = plan.runs
    costs = Costs(plan)
    own, other = costs.of(teacher.id), costs.of(student.id)
    assert ThisMachine(plan, costs).seconds(student, other)[1] is False
    folder = RESULTS.run(teacher.id)
    folder.path.mkdir(parents=True)
    Status(wall_seconds=30.0).write(folder.status)
    machine = ThisMachine(plan, costs)
    assert machine.seconds(teacher, own) == (30.0, True)
    assert machine.seconds(student, other) == (pytest.approx(30.0 * other.operations / own.operations), True)
    assert "1 finished run" in cost_report(plan)
    Status(status="diverged", wall_seconds=1.0).write(folder.status)
    assert ThisMachine(plan, costs).finished == {}
    folder.status.write_text('{"sta')  # the disk was full: the run is left, and a plan can be made
    assert ThisMachine(plan, costs).finished == {}


def test_the_published_setting_costs_what_its_arithmetic_says(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/engine.md, by hand: operations of a distillation run, hours of all on an H100, bytes."""
    monkeypatch.delenv("AMAD_DATA", raising=False)
    plan = possible_plan(load_config(repository / "configs/paper.yaml"))
    costs = Costs(plan)

    def operations(family: str, task: str) -> float:
        wanted = [
            run.id
            for run in plan.runs
            if (run.config.family, run.config.task, run.config.loss.label, run.config.model.width)
            == (family, task, "logit_kd", 768)
        ]
        return costs.of(wanted[0]).operations / 1e18

    assert operations("vlt5", "vqa") == pytest.approx(0.53, rel=0.15)
    assert operations("vlt5", "translation") == pytest.approx(0.08, rel=0.35)
    assert operations("blip", "vqa") == pytest.approx(5.16, rel=0.15)
    assert operations("blip", "captioning") == pytest.approx(1.49, rel=0.15)
    fp32, bf16 = (
        sum(speed.seconds(costs.of(run.id)) for run in plan.runs) / 3600 for speed in GPUS[0].speeds
    )
    assert fp32 == pytest.approx(17_700, rel=0.2)
    assert bf16 == pytest.approx(3_090, rel=0.3)
    weights = sum(costs.of(run.id).weights for run in plan.runs if run.kind == "student")
    assert weights == pytest.approx(1.75e12, rel=0.05)


def test_a_teacher_that_is_not_needed_costs_a_student_nothing(plan: Plan) -> None:
    student = plan.runs[1]
    assert student.config.loss.label == "ce"
    assert Costs(plan).of(student.id).teacher == 0


def test_a_family_without_a_formula_is_left_out(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    record: Any = FAMILIES["blip"]
    monkeypatch.setitem(FAMILIES, "blip", type(record)(**{**vars(record), "cost": None}))
    assert cost_report(plan) == ""
