"""How many runs a GPU has room for, against reckonings by hand from what is known of the models."""

from functools import cache

import pytest

from amad_bench.plan.config.load import load_config
from amad_bench.plan.cost.data_facts import data_facts
from amad_bench.plan.cost.gpu_room import runs_per_gpu
from amad_bench.plan.grid import possible_plan
from amad_bench.plan.plan import Plan
from amad_bench.plan.run_config import RunConfig
from tests.conftest import REPOSITORY


@cache
def planned(name: str) -> Plan:
    return possible_plan(load_config(REPOSITORY / "configs" / f"{name}.yaml"))


def room(plan: Plan, config: RunConfig, batch: int | None = None) -> int:
    taught = config.teacher and config.teacher.run_id
    if batch is not None:
        training = config.training.model_copy(update={"batch": batch})
        config = config.model_copy(update={"training": training})
    return runs_per_gpu(config, plan.by_id[taught].config if taught else None, data_facts(config))


@pytest.mark.parametrize("name", ["smoke", "default", "methods", "real-mini"])
def test_small_models_share_a_gpu(name: str) -> None:
    plan = planned(name)
    assert {room(plan, run.config) for run in plan.runs} == {8}


def test_those_of_the_paper_do_not() -> None:
    plan = planned("paper")
    assert {room(plan, run.config) for run in plan.runs} == {1}


def student(layers: int, loss: str) -> RunConfig:
    return next(
        run.config
        for run in planned("paper").runs
        if (run.kind, run.config.family, run.config.task) == ("student", "vlt5", "vqa")
        if (run.config.model.layers, run.config.loss.name) == (layers, loss)
    )


@pytest.mark.parametrize(
    ("layers", "loss", "batch", "expected"),
    [
        # T5-small, alone: 12 layers, three passes, .8 ms each, are 29 ms of starting kernels. 2.7 GFLOP an
        # example, three times, at 10.7 TFLOP/s: 6 ms for 8 examples, 12 for 16, 25 for 32.
        (6, "ce", 8, 4),
        (6, "ce", 16, 2),
        (6, "ce", 32, 1),
        # taught by T5-base: 19 ms more to start, 9 ms more to compute for 8 examples
        (6, "logit_kd", 8, 2),
        # T5-base: 58 ms for 1 example of 3 ms, but 16 bytes for each of 224 million parameters are 3.6 GB
        (12, "ce", 1, 2),
    ],
)
def test_what_a_gpu_has_room_for(layers: int, loss: str, batch: int, expected: int) -> None:
    assert room(planned("paper"), student(layers, loss), batch) == expected


def test_a_larger_batch_never_has_more_room() -> None:
    found = [room(planned("paper"), student(6, "logit_kd"), batch) for batch in (1, 2, 4, 8, 16, 64, 320)]
    assert found == sorted(found, reverse=True)
    assert set(found) <= {8, 4, 2, 1}
