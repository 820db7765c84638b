"""Number types that models compute in, and what a process sets so that equal runs give equal numbers.

`fp32`: IEEE float32 everywhere. `bf16`: bfloat16 in the products of a model's forward pass and its gradient,
by autocast; weights, optimizer and losses stay float32. torch is imported within functions: planning does
without.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16"]
FP32: Precision = "fp32"


def forward_pass(precision: Precision, device: "str | torch.device") -> AbstractContextManager[Any]:
    """Context of a model's forward pass, for a whole generation, too; the backward pass needs none."""
    if precision == FP32:
        return nullcontext()
    import torch

    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)


def make_exact() -> None:
    """Sets this process up before a run: float32 takes no shortcuts, and equal runs give equal numbers.

    Call it before anything is computed on a device: cuBLAS reads its workspace's size once.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, two streams may share one
    import torch

    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False  # torch allows it, in BLIP's patch convolution
    torch.backends.cudnn.benchmark = False  # which would choose an algorithm by a stopwatch
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue] (it costs a pass over each new tensor; ours are written before they are read)
