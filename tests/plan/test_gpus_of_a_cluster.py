"""Where jobs go to other machines, what this one has says nothing about them."""

import pytest

from amad_bench.plan.config.load import load_config
from amad_bench.plan.gpu_slots import gpu_slots
from amad_bench.plan.grid import expand
from amad_bench.runtime import devices
from tests.conftest import REPOSITORY


@pytest.mark.parametrize("here", [0, 2])
@pytest.mark.parametrize(("device", "each"), [("auto", 1), ("cuda", 1), ("cpu", 0)])
def test_a_run_takes_a_gpu_unless_the_config_says_that_there_are_none(
    monkeypatch: pytest.MonkeyPatch, here: int, device: str, each: int
) -> None:
    """A login node has none, mostly."""
    monkeypatch.setattr(devices, "count", lambda _asked: here)
    config = load_config(REPOSITORY / "configs/smoke.yaml").model_copy(update={"device": device})
    plan = expand(config)
    found = gpu_slots(plan, config, local=False)
    assert (found.total, found.whole) == (0, each)
    assert {found.of(run.id) for run in plan.runs} == {each}
