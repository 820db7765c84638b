"""A training step over ranks: each computes its rows of a batch, gradients and logged numbers are sums.

A part's loss is its summand of the whole batch's (`Trace.totals`), so nothing is averaged here.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from amad_bench.data.batch import Batch
from amad_bench.models.attention.trace import Totals
from amad_bench.plan.seeds import seed
from amad_bench.runtime.ranks import Ranks, losing_ranks
from amad_bench.training.distill import ObjectiveValue


def dropout_seed(own: int, ranks: Ranks) -> int:
    """Seed of a rank's dropout masks; the first has the run's own, as without other ranks."""
    return own if ranks.first else seed("dropout of a rank", own, ranks.rank)


class ParallelStep:
    """A module that gives an ObjectiveValue, on all ranks; by itself where this process is alone.

    Parameters are the first rank's from here on.
    """

    def __init__(self, module: nn.Module, ranks: Ranks) -> None:
        self._ranks, self._module = ranks, _summing(module) if ranks.together else module

    def __call__(
        self, rows: np.ndarray, batch: Batch, epoch: int, totals: Totals | None = None
    ) -> ObjectiveValue:
        return self._module(rows, batch, epoch, totals)

    @contextmanager
    def part(self, last: bool) -> Iterator[None]:
        """Inside are a forward and a backward pass; after the last of a step all ranks' gradients are summed.

        Raises LostRank.
        """
        if not self._ranks.together:
            yield
            return
        apart: Any = nullcontext if last else self._module.no_sync
        with losing_ranks(), apart():
            yield

    def whole(self, value: ObjectiveValue, alignment: bool) -> ObjectiveValue:
        """The sum of the ranks' values, without gradient; its alignment only where that is asked for."""
        if not self._ranks.together:
            return value
        total, *parts = _sum_of([value.total, *value.parts.values()], self._ranks)
        aligned = _sum_of([*value.alignment.values()], self._ranks) if alignment else []
        return ObjectiveValue(
            total,
            dict(zip(value.parts, parts, strict=True)),
            dict(zip(value.alignment, aligned, strict=False)),
        )


def _summing(module: nn.Module) -> nn.Module:
    """The module, with gradients that are summed over all ranks; DDP's own way is the mean."""
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    def summed(
        _state: object,
        bucket: dist.GradBucket,  # pyright: ignore[reportPrivateImportUsage]
    ) -> torch.futures.Future[Tensor]:
        work: Any = dist.all_reduce(bucket.buffer(), async_op=True)
        return work.get_future().then(lambda done: done.value()[0])

    parallel = DistributedDataParallel(module)
    parallel.register_comm_hook(None, summed)
    return parallel


def _sum_of(tensors: list[Tensor], ranks: Ranks) -> list[Tensor]:
    """Sums over the ranks of each of the tensors, which travel together."""
    if not tensors:
        return []
    flat = ranks.summed(torch.cat([tensor.detach().double().flatten() for tensor in tensors]))
    pieces = flat.split([tensor.numel() for tensor in tensors])
    return [piece.view(tensor.shape).to(tensor.dtype) for piece, tensor in zip(pieces, tensors, strict=True)]
