"""The slots that the scheduler counts, and the part of a GPU that each run takes."""

import pytest

from amad_bench.plan import gpu_slots as module
from amad_bench.plan.config.load import load_config
from amad_bench.plan.config.schema import Config
from amad_bench.plan.gpu_slots import gpu_slots, parts_of_gpus
from amad_bench.plan.grid import expand
from amad_bench.plan.plan import Plan
from amad_bench.runtime import devices
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.slots import Part
from tests.conftest import REPOSITORY


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> tuple[Plan, Config]:
    """On a machine with two GPUs, as long as they may be used."""
    monkeypatch.setattr(devices, "count", {"auto": 2, "cuda": 2, "cpu": 0}.__getitem__)
    config = load_config(REPOSITORY / "configs/smoke.yaml")
    return expand(config), config


def test_small_runs_share_gpus_by_themselves(planned: tuple[Plan, Config]) -> None:
    plan, config = planned
    found = gpu_slots(plan, config, local=True)
    assert (found.total, found.whole) == (2 * 8, 8)
    assert set(found.by_run) == set(plan.by_id)
    assert set(found.by_run.values()) == {1}
    assert set(parts_of_gpus(plan, config).values()) == {Part(1, 8)}


def test_so_many_as_the_config_says(planned: tuple[Plan, Config]) -> None:
    plan, config = planned
    for number in (1, 3):
        config = config.model_copy(update={"runs_per_gpu": number})
        found = gpu_slots(plan, config, local=True)
        assert (found.total, found.whole, set(found.by_run.values())) == (2 * number, number, {1})
        assert set(parts_of_gpus(plan, config).values()) == {Part(1, number)}


def test_a_larger_run_takes_several_slots(
    planned: tuple[Plan, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, config = planned
    teachers = {run.id for run in plan.runs if run.kind == "teacher"}
    assert teachers
    monkeypatch.setattr(module, "runs_per_gpu", lambda own, *_: 1 if own.kind == "teacher" else 4)
    found = gpu_slots(plan, config, local=True)
    assert (found.total, found.whole) == (2 * 4, 4)
    assert {run_id for run_id in plan.by_id if found.of(run_id) == 4} == teachers
    assert {found.of(run_id) for run_id in set(plan.by_id) - teachers} == {1}
    parts = parts_of_gpus(plan, config)
    assert all(parts[run_id].whole for run_id in teachers)
    assert {parts[run_id] for run_id in set(plan.by_id) - teachers} == {Part(2, 8)}


def test_where_all_are_large_a_slot_is_a_gpu(
    planned: tuple[Plan, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that `--resources gpu=1` means what it says."""
    plan, config = planned
    monkeypatch.setattr(module, "runs_per_gpu", lambda *_: 1)
    found = gpu_slots(plan, config, local=True)
    assert (found.total, found.whole, set(found.by_run.values())) == (2, 1, {1})


def test_on_the_cpu_there_are_none(planned: tuple[Plan, Config]) -> None:
    plan, config = planned
    found = gpu_slots(plan, config.model_copy(update={"device": "cpu"}), local=True)
    assert (found.total, found.whole, found.of(plan.runs[0].id)) == (0, 0, 0)


def test_on_other_machines_a_job_takes_a_gpu_and_nobody_counts_them_here(
    planned: tuple[Plan, Config],
) -> None:
    plan, config = planned
    found = gpu_slots(plan, config, local=False)
    assert (found.total, found.whole, set(found.by_run.values())) == (0, 1, {1})


def test_several_gpus_for_a_run_are_taken_whole(planned: tuple[Plan, Config]) -> None:
    """A pre-training has one."""
    plan, config = planned
    config = config.model_copy(update={"gpus_per_run": 2})
    found = gpu_slots(plan, config, local=True)
    kinds = {run.kind for run in plan.runs}
    slots = {kind: {found.of(run.id) for run in plan.runs if run.kind == kind} for kind in kinds}
    assert {kind: own for kind, own in slots.items() if kind != "pretrain"} == {
        "teacher": {2 * found.whole},
        "student": {2 * found.whole},
    }
    assert found.total == 2 * found.whole
    assert {parts_of_gpus(plan, config)[run.id] for run in plan.runs if run.kind != "pretrain"} == {
        Part(1, 1)
    }
    elsewhere = gpu_slots(plan, config, local=False)
    assert {elsewhere.of(run.id) for run in plan.runs if run.kind != "pretrain"} == {2}


def test_more_gpus_than_there_are_is_a_mistake(planned: tuple[Plan, Config]) -> None:
    plan, config = planned
    config = config.model_copy(update={"gpus_per_run": 3})
    with pytest.raises(UserError, match="gpus_per_run: 3, but 2 can be used here"):
        gpu_slots(plan, config, local=True)
