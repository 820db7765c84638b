"""What a process sets before a run, and the context of a forward pass."""

import os
from collections.abc import Iterator

import pytest
import torch

from amad_bench.runtime import devices
from amad_bench.runtime.precision import forward_pass


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All shortcuts are taken, as an environment or another library may have left it."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(deterministic)


@pytest.mark.usefixtures("careless")
def test_a_device_is_ready_when_float32_is_ieee_and_kernels_are_deterministic() -> None:
    devices.ready("cpu")
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cudnn.benchmark
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.usefixtures("careless")
def test_a_workspace_of_ones_own_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    devices.ready("cpu")
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_products_of_a_forward_pass() -> None:
    linear, x_N = torch.nn.Linear(3, 2), torch.ones(3)
    with forward_pass("fp32", "cpu"):
        assert linear(x_N).dtype == torch.float32
    with forward_pass("bf16", torch.device("cpu")):
        y_N = linear(x_N)
    assert y_N.dtype == torch.bfloat16
    y_N.sum().backward()
    assert linear.weight.grad is not None
    assert linear.weight.grad.dtype == torch.float32
