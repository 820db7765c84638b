"""Losses that align heads: they find how much each teacher head listens to each student head, and a distance.

Such a loss is a function that returns `Aligned`, decorated by `@loss_alone`: called, it returns the scalar;
`with_alignment(function)` is the function as it is written.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import NamedTuple, ParamSpec

import torch
from torch import Tensor

from amad_bench.losses.maps import reduce_heads_and_batch

P = ParamSpec("P")


class Aligned(NamedTuple):
    """A loss and the alignment behind it; rows of the alignment sum to 1."""

    loss: Tensor
    alignment_BHG: Tensor
    counts_B: Tensor  # bool: whether the sample has a valid entry

    def mean_HG(self) -> Tensor:
        """The alignment, detached: the mean over samples that count."""
        counts_B = self.counts_B.to(self.alignment_BHG.dtype)
        total_HG = torch.einsum("bhg,b->hg", self.alignment_BHG.detach(), counts_B)
        return total_HG / counts_B.sum().clamp_min(1)


def aligned(distance_BH: Tensor, rows_B: Tensor, alignment_BHG: Tensor, head_reduction: str) -> Aligned:
    """Reduces the distances of the teacher heads. Raises ValueError for an unknown reduction."""
    return Aligned(reduce_heads_and_batch(distance_BH, rows_B, head_reduction), alignment_BHG, rows_B > 0)


def loss_alone(function: Callable[P, Aligned]) -> Callable[P, Tensor]:
    """The function without its alignment: the same arguments, but a scalar."""

    @wraps(function)
    def loss(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        return function(*args, **kwargs).loss

    loss.__dict__["__signature__"] = inspect.signature(function).replace(return_annotation=Tensor)
    return loss


def with_alignment(loss: Callable[P, Tensor]) -> Callable[P, Aligned]:
    """The function that `loss_alone` decorated."""
    return inspect.unwrap(loss)
