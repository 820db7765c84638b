"""Steps whose batch is computed in parts, which are halved when memory runs out; the step stays the same one.

A part's loss is its summand of the whole batch's (`losses.whole_batch`), so that summed gradients, logged
parts and alignments are those of the whole batch, but for rounding and which dropout masks are drawn.
"""

import gc
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import torch
from torch import Tensor

from amad_bench.runtime.devices import DEVICES, out_of_memory
from amad_bench.training.distill import ObjectiveValue
from amad_bench.training.optim import Updates
from amad_bench.training.random_state import random_state, set_random_state

# the value of the examples of a batch in a slice
PartValue = Callable[[slice], ObjectiveValue]
# a context, which is told whether the last part of a step is inside
Around = Callable[[bool], AbstractContextManager[None]]


def _nothing(_last: bool) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass
class MicroBatch:
    """The number of a batch's examples that are computed at once, at most.

    asked: the config's; None: the whole batch. batch: all of its examples. size: what is used; 0: what is
    asked for. may_halve: whether it may become less.
    """

    asked: int | None
    batch: int
    size: int = 0
    may_halve: bool = True

    def __post_init__(self) -> None:
        self.size = self.size or self.most

    @property
    def most(self) -> int:
        """Examples at once that are asked for."""
        return min(self.asked or self.batch, self.batch)

    def keep_whole(self, why: str) -> None:
        """From now on batches are not cut, whatever is asked for; that is said where it is something else."""
        if self.most < self.batch:
            print(f"{why}: micro_batch {self.most} is not used", flush=True)
        self.asked, self.size, self.may_halve = None, self.batch, False

    @property
    def halved(self) -> bool:
        return self.size < self.most

    @property
    def facts(self) -> dict[str, int]:
        """Facts for a checkpoint: what is asked for, and what is used."""
        return {"asked": self.most, "size": self.size}

    def resume(self, facts: Mapping[str, int] | None, run_id: str) -> None:
        """Go on as in a checkpoint with these `facts`, None: of whole batches.

        Where something else is asked for now, that counts, and is said.
        """
        before = facts or {"asked": self.batch, "size": self.batch}
        if before["asked"] == self.most:
            self.size = before["size"]
        else:
            print(f"{run_id}: goes on with micro_batch {self.size}, begun with {before['size']}", flush=True)

    def parts(self, examples: int) -> list[slice]:
        """Slices of so many examples, as few as may be and all of nearly the same size."""
        count = ceil(examples / self.size)
        ends = [examples * part // count for part in range(count + 1)]
        return [slice(start, end) for start, end in pairwise(ends)]


def accumulated_step(
    value_of: PartValue,
    examples: int,
    micro: MicroBatch,
    updates: Updates,
    device: torch.device,
    around: Around = _nothing,
) -> tuple[ObjectiveValue, Tensor]:
    """One step on a batch of so many examples: its value, and the gradient's norm before clipping.

    around: of both passes of each part.
    Where memory runs out the step is begun again with half as many examples at once, from the random state
    and without the gradients of the first try; `micro` keeps that size. With one example at once the error
    passes through. So does one of the optimizer itself, which may have changed some of the weights.
    """
    random = random_state(device)
    while True:
        try:
            value = _gradients(value_of, micro.parts(examples), updates, around)
            break
        except (MemoryError, RuntimeError, OSError) as error:
            if micro.size <= 1 or not micro.may_halve or not out_of_memory(error):
                raise
            reason = " ".join(str(error).split())[:200] or "no memory is left"
        # out here nothing of the error is left, whose frames held what was computed
        updates.begin()
        gc.collect()
        DEVICES[device.type].release()
        before, micro.size = min(micro.size, examples), ceil(min(micro.size, examples) / 2)
        print(
            f"amad-bench: out of memory with {before} examples at once ({reason}); goes on with micro_batch "
            f"{micro.size} at the same batch",
            file=sys.stderr,
            flush=True,
        )
        set_random_state(random, device)
    return value, updates.finish()


def _gradients(value_of: PartValue, parts: list[slice], updates: Updates, around: Around) -> ObjectiveValue:
    """The sum of the values of the parts, without gradient; their gradients are added up."""
    updates.begin()
    total: ObjectiveValue | None = None
    for part in parts:
        with around(part is parts[-1]):
            value = value_of(part)
            value.total.backward()
        total = value.detached() if total is None else total.plus(value.detached())
    assert total is not None
    return total
