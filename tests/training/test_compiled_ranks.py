"""Two ranks whose recorded models are compiled train the weights of two plain ones."""

import pytest
import torch

from amad_bench.runtime import launch as launch_module
from amad_bench.runtime.interruption import interruptible
from amad_bench.runtime.launch import launch
from tests.training import rank_battery
from tests.training.compiled_ranks import CASES


@pytest.mark.slow
def test_weights_are_those_of_plain_ranks(tmp_path, monkeypatch):
    rank_battery.write_config(tmp_path)
    command = "from tests.training.compiled_ranks import main; main()"
    monkeypatch.setattr(launch_module, "_COMMAND", command)
    with interruptible():
        assert launch([str(tmp_path)], 2) == 0
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert len(first) == 2 * len(CASES)
    for case in CASES:
        compiled, plain = first[*case, True], first[*case, False]
        assert torch.equal(compiled, second[*case, True])
        torch.testing.assert_close(compiled, plain, atol=1e-6, rtol=1e-6)
    assert not torch.equal(first[*CASES[0], True][:100], first[*CASES[1], True][:100])
