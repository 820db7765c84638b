"""The course of a training: its state between two steps, kept in checkpoints, and ends before its own."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from amad_bench.data.tasks.batches import BatchOrder
from amad_bench.models.weights import own_tensors
from amad_bench.runtime.errors import RunFailed
from amad_bench.runtime.interruption import Interrupted, deferred
from amad_bench.runtime.ranks import ALONE, Ranks
from amad_bench.runtime.run_folder.steps import StepLog
from amad_bench.training.accumulation import MicroBatch
from amad_bench.training.checkpoints import Checkpoint, Checkpoints, below, prefixed
from amad_bench.training.optim import BestWeights, Trained, Updates
from amad_bench.training.random_state import random_state, set_random_state

MODEL = "model"  # among the modules
_LOSS, _NORM = "loss", "gradient_norm"
_MICRO = "micro_batch"


class Diverged(RunFailed):
    """A number of a training is not finite. good_step: of the weights that were put back, 0 for none."""

    def __init__(self, reason: str, good_step: int) -> None:
        kept = f"; the weights of step {good_step} are kept" if good_step else ""
        super().__init__("diverged", reason + kept)
        self.good_step = good_step


@dataclass
class Course:
    """All that changes from step to step in a training on `device`, and the checkpoints that hold it.

    modules: by name, those that `updates` changes and `best` keeps. generators: by name, those whose draws so
    far count, beside torch's. order: of the batches, where it is not made anew and passed over. alignment:
    what the step log compares with next, see `losses.diagnostics`. checkpoints: None keeps nothing.
    continued: how often another process went on. micro: examples that are computed at once. ranks: all that
    train the run; the first has the log and writes checkpoints.
    """

    modules: Mapping[str, nn.Module]
    updates: Updates
    best: BestWeights
    log: StepLog
    device: torch.device
    generators: Mapping[str, np.random.Generator]
    order: BatchOrder | None = None
    alignment: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    checkpoints: Checkpoints | None = None
    micro: MicroBatch | None = None
    continued: int = 0
    validation_seconds: float = 0.0  # in all processes
    ranks: Ranks = ALONE
    _before: float = 0.0  # seconds that the training took in other processes
    _started: float = field(default_factory=time.perf_counter)
    _saved: int = 0  # the step of the latest checkpoint
    _first_bad: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    @property
    def seconds(self) -> float:
        """Seconds of the training so far, in all processes that worked at it."""
        return self._before + time.perf_counter() - self._started

    def resume(self) -> int:
        """Put back what the latest checkpoint holds; the number of steps that are done."""
        found = self._latest()
        if found is None:
            self.log.start(0)
            return 0
        for name, module in self.modules.items():
            module.load_state_dict(below(name, found.tensors), strict=False)  # of tied tensors only the first
        self.updates.restore(below("optimizer", found.tensors), found.step)
        best = {name: below(f"best/{name}", found.tensors) for name in self.modules}
        self.best.put_back([*best.values()], found.facts["best_step"], found.facts["best_score"])
        for name, generator in self.generators.items():
            generator.bit_generator.state = found.facts["generators"][name]
        if self.order is not None:
            self.order.rest = found.tensors["order"].numpy()
        self.alignment |= {
            name: tensor.to(self.device) for name, tensor in below("alignment", found.tensors).items()
        }
        set_random_state(below(_random_of(self.ranks.rank), found.tensors), self.device)
        self.log.start(found.facts["log_bytes"])
        self._before, self._saved = found.facts["seconds"], found.step
        self.validation_seconds = found.facts["validation_seconds"]
        self.continued = found.facts["continued"] + 1
        if self.micro is not None and self.checkpoints is not None:
            self.micro.resume(found.facts.get(_MICRO), self.checkpoints.run_id)
        return found.step

    def _latest(self) -> Checkpoint | None:
        """The latest checkpoint, the same on all ranks: the first sets aside what cannot be read."""
        if self.checkpoints is None:
            return None
        found = self.checkpoints.latest() if self.ranks.first else None
        step = self.ranks.sent(found and found.step)
        return found if self.ranks.first or step is None else self.checkpoints.at(step)

    @contextmanager
    def watched(self) -> Iterator["Course"]:
        """Inside, signals wait for the end of a step (`after`), and what diverges leaves the best weights.

        Raises Interrupted and Diverged.
        """
        try:
            with deferred() as self._asked:
                yield self
        except RunFailed as failure:
            if failure.status != "diverged":
                raise
            if self.best.step:
                self.best.restore()
            raise Diverged(failure.reason, self.best.step) from None

    @contextmanager
    def validation(self) -> Iterator[None]:
        """Inside is a validation, which is timed."""
        started = time.perf_counter()
        yield
        self.validation_seconds += time.perf_counter() - started

    def end(self, steps: int) -> Trained:
        """The end of the training, with the best weights in its modules."""
        self.best.restore()
        extra_params = sum(
            p.numel() for name, one in self.modules.items() if name != MODEL for p in one.parameters()
        )
        return Trained(
            self.best.step,
            steps,
            self.seconds,
            self.validation_seconds,
            self.continued,
            extra_params,
            self.micro.size if self.micro else 0,
            self.micro is not None and self.micro.halved,
            self.ranks.world,
        )

    def look(self, step: int, total: Tensor, norm: Tensor, parts: Mapping[str, Tensor]) -> None:
        """Note the first step at which a part of the loss, the loss or its gradient is not finite.

        Without a look at their values, for which a GPU would have to be waited for: see `require_finite`.
        """
        for name, value in {**parts, _LOSS: total, _NORM: norm}.items():
            before = self._first_bad.get(name)
            if before is None:
                before = self._first_bad[name] = torch.zeros((), dtype=torch.long, device=value.device)
            bad = ~torch.isfinite(value.detach()) & (before == 0)
            before.masked_fill_(bad, step)

    def require_finite(self) -> None:
        """RunFailed("diverged") with the step and the parts, if anything was not finite in a step so far."""
        steps = {name: int(step) for name, step in self._first_bad.items()}
        found = [step for step in steps.values() if step]
        if not found:
            return
        bad = [name for name, step in steps.items() if step == min(found)]
        named = [name for name in bad if name not in (_LOSS, _NORM)] or bad[:1]
        raise RunFailed("diverged", f"{' and '.join(named)} not finite at step {min(found)}")

    def after(self, step: int) -> None:
        """Write a checkpoint if it is time, or if a signal came to any rank; then all raise Interrupted."""
        asked = self._asked() or 0
        due = self.checkpoints is not None and (asked > 0 or (self.ranks.first and self.checkpoints.due()))
        number, writes = self.ranks.largest([asked, due])
        if self.checkpoints and step > self._saved and writes:
            self.require_finite()
            random = self.ranks.gathered(random_state(self.device))
            if self.ranks.first:
                self.checkpoints.write(self._checkpoint(step, random))
            self._saved = step
        if number:
            self.ranks.sent(None)  # none ends before the first has written
            raise Interrupted(number)

    def _checkpoint(self, step: int, random: list[dict[str, Tensor]]) -> Checkpoint:
        """random: by rank."""
        tensors = prefixed("optimizer", self.updates.state())
        for name, module, best in zip(self.modules, self.modules.values(), self.best.states, strict=True):
            tensors |= prefixed(name, own_tensors(module)) | prefixed(f"best/{name}", best)
        tensors |= prefixed("alignment", self.alignment)
        for rank, state in enumerate(random):
            tensors |= prefixed(_random_of(rank), state)
        if self.order is not None:
            tensors["order"] = torch.from_numpy(self.order.rest)
        facts: dict[str, Any] = {
            "best_step": self.best.step,
            "best_score": self.best.score if self.best.step else None,
            "generators": {name: one.bit_generator.state for name, one in self.generators.items()},
            "log_bytes": self.log.synced(),
            "seconds": self.seconds,
            "validation_seconds": self.validation_seconds,
            "continued": self.continued,
            _MICRO: self.micro and self.micro.facts,
        }
        return Checkpoint(step, tensors, facts)


def _random_of(rank: int) -> str:
    """Place of a rank's random state among a checkpoint's tensors."""
    return f"random/{rank}" if rank else "random"
