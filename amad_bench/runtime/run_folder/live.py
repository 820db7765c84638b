"""live.json: what the process that trains a run is doing. For people: nothing depends on it."""

import math
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_json, write_json_atomic
from amad_bench.runtime.run_folder.steps import Scalar

EVERY = 2.0  # seconds between two writes, at least; each asks for the loss, which on a GPU waits for it
_NEWEST = 0.3  # weight of the latest measurement in the rate

State = Literal["running", "interrupted"]


@dataclass(frozen=True)
class Live:
    """A run as its process last described it.

    phase: what is being done ("data", "training", ...). step, steps: of a training, else 0. since, updated:
    Unix times at which the process began with the run, and at which it wrote this. The process may have ended
    since then, unless it holds the run's lock.
    """

    state: State
    phase: str
    step: int
    steps: int
    loss: float | None
    steps_per_second: float | None
    since: float
    updated: float
    pid: int
    host: str

    def write(self, path: Path) -> None:
        """Write the description."""
        write_json_atomic(path, vars(self))

    @classmethod
    def read(cls, path: Path) -> "Live | None":
        """The description in a file; None, not known, where it is absent or damaged."""
        try:
            found = read_json(path)
        except UserError:
            return None
        known = isinstance(found, dict) and found.keys() == _KINDS.keys()
        if not known or not all(isinstance(found[name], kinds) for name, kinds in _KINDS.items()):
            return None
        return cls(**found) if found["state"] in ("running", "interrupted") else None


_NUMBER, _MAYBE = (int, float), (int, float, type(None))
_KINDS: dict[str, type | tuple[type, ...]] = dict(
    zip(
        [field.name for field in fields(Live)],
        [str, str, int, int, _MAYBE, _MAYBE, _NUMBER, _NUMBER, int, str],
        strict=True,
    )
)


class LiveWriter:
    """Describes this process's run in its live.json; a file that cannot be written changes nothing else.

    also: called after steps that are described, and at the end.
    """

    def __init__(
        self, path: Path, also: Callable[[], None] = lambda: None, clock: Callable[[], float] = time.time
    ) -> None:
        self._path, self._also, self._clock = path, also, clock
        self._since = self._written = clock()
        self._phase = "starting"
        self._step = self._steps = 0
        self._loss: float | None = None
        self._rate: float | None = None

    def phase(self, name: str) -> None:
        """Another part of the work begins."""
        self._phase, self._step, self._steps = name, 0, 0
        self._loss = self._rate = None
        self._write("running")

    def step(self, step: int, steps: int, loss: Scalar) -> None:
        """A step, counted from 1, is done; written every two seconds, and only then is the loss read.

        Also when the clock was set back.
        """
        passed = self._clock() - self._written
        if 0 <= passed < EVERY:
            return
        before, self._step, self._steps = self._step, step, steps
        value = loss.item()
        self._loss = value if math.isfinite(value) else None
        if before and passed > 0:  # what came before the first written step may have been something else
            rate = (step - before) / passed
            self._rate = rate if self._rate is None else _NEWEST * rate + (1 - _NEWEST) * self._rate
        self._write("running")
        self._also()

    def interrupted(self) -> None:
        """The process ends before the run does."""
        self._write("interrupted")
        self._also()

    def ended(self) -> None:
        """The run has ended, and its status says how."""
        self._also()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _write(self, state: State) -> None:
        self._written = self._clock()
        live = Live(
            state,
            self._phase,
            self._step,
            self._steps,
            self._loss,
            self._rate,
            self._since,
            self._written,
            os.getpid(),
            socket.gethostname(),
        )
        with suppress(OSError):
            live.write(self._path)
