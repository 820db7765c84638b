"""Losses of maps by Triton kernels, for CUDA."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from amad_bench.losses.aligned import Aligned
from amad_bench.models.attention.trace import LayerTrace


def triton_loss(
    teacher: LayerTrace,  # noqa: ARG001
    student: LayerTrace,  # noqa: ARG001
    mask_B1QK: Tensor | None,  # noqa: ARG001
    *,
    method: str,
    options: Mapping[str, Any],  # noqa: ARG001
) -> Aligned:
    """A method's scalar, with gradients of the student's queries, keys and bias; and its alignment.

    mask_B1QK: valid entries of both, None: all are. options: those of the method's function.
    """
    raise ValueError(f"{method}: kernel 'triton' is not written yet; use 'chunked'")
