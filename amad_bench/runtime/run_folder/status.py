"""status.json: how a run ended, and what it took."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from amad_bench.runtime.errors import STATUSES, USABLE, UserError
from amad_bench.runtime.files import read_json, write_json_atomic

PHASES = (  # of a run, in order; those of a pre-training are fewer
    "start",  # from the command's beginning to the run's: config, plan, imports
    "data",
    "model",
    "teacher_outputs",
    "training",  # without its validations
    "validation",
    "predicting",
    "scoring",
)
_ALWAYS = ("status", "reason", "signatures", "log_tail")  # of the rest, what a file lacks is not known


@dataclass
class Status:
    """The status of a run, at first that of one which has just begun; None: not known.

    status: one of STATUSES. peak_memory_mib: of the rank that took most. energy_joules: of all its devices in
    the time of the last process, whoever used them. parameters: of the model; extra_params: of the loss.
    steps: of the training; best_step: the one whose weights were kept. continued: how often another process
    went on after the run was interrupted or killed. ranks: processes that trained it together, each on a
    device. head_map: site -> for each head those it was cut from; start_weights: what the model started from;
    both are {} for random weights. micro_batch: examples that were computed at once, of a rank, in the end;
    micro_batch_halved: whether memory ran out, and that is fewer than was asked for. compiled: whether the
    training was. signatures: metric -> how it was computed. log_tail: the last lines of a failure's
    traceback. data: facts about the examples, None when the run ended before it had read them. seconds: by
    phase, one of PHASES, those that were entered.
    """

    status: str = "done"
    reason: str = ""
    wall_seconds: float | None = 0.0
    train_seconds: float | None = 0.0
    peak_memory_mib: float | None = 0.0
    energy_joules: float | None = None
    parameters: int | None = 0
    extra_params: int | None = 0
    flops_per_example: int | None = 0
    head_map: Mapping[str, Any] | None = field(default_factory=dict)
    start_weights: Mapping[str, Any] | None = field(default_factory=dict)
    micro_batch: int | None = 0
    micro_batch_halved: bool | None = False
    compiled: bool | None = False
    steps: int | None = 0
    best_step: int | None = 0
    continued: int | None = 0
    ranks: int | None = 1
    signatures: Mapping[str, str] = field(default_factory=dict)
    log_tail: list[str] = field(default_factory=list)
    data: Mapping[str, Any] | None = None
    seconds: Mapping[str, float] | None = field(default_factory=dict)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Adds the seconds inside to those of a phase, also where a failure ends it."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add_seconds(phase, time.perf_counter() - started)

    def add_seconds(self, phase: str, seconds: float) -> None:
        """Adds to the seconds of a phase."""
        known = self.seconds or {}
        self.seconds = {**known, phase: known.get(phase, 0.0) + seconds}

    @property
    def usable(self) -> bool:
        """Whether the model was trained to the end: it can teach, and it has predictions."""
        return self.status in USABLE

    def write(self, path: Path) -> None:
        """Write what is known."""
        write_json_atomic(path, {name: value for name, value in vars(self).items() if value is not None})

    @classmethod
    def read(cls, path: Path) -> "Status":
        """The status in a file; UserError when it is missing, broken or says nothing of STATUSES."""
        found = read_json(path)
        if not isinstance(found, dict) or found.get("status") not in STATUSES:
            raise UserError(
                f"{path}: an object with a `status`, one of {', '.join(STATUSES)}, was expected; "
                "delete the run's folder and run again"
            )
        names = [own.name for own in fields(cls)]
        known: dict[str, Any] = {name: None for name in names if name not in _ALWAYS}
        return cls(**known | {name: found[name] for name in names if name in found})
