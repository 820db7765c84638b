"""status.json: how a run ended, and what it took."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from amad_bench.runtime.errors import STATUSES, USABLE, UserError
from amad_bench.runtime.files import read_json, write_json_atomic

_ALWAYS = ("status", "reason", "signatures", "log_tail")  # of the rest, what a file lacks is not known


@dataclass
class Status:
    """The status of a run, at first that of one which has just begun; None: not known.

    status: one of STATUSES. parameters: of the model; extra_params: of the loss. steps: of the training;
    best_step: the one whose weights were kept. continued: how often another process went on after the run was
    interrupted or killed. head_map: site -> for each head those it was cut from; start_weights: what the
    model started from; both are {} for random weights. signatures: metric -> how it was computed. log_tail:
    the last lines of a failure's traceback. data: facts about the examples, None when the run ended before it
    had read them.
    """

    status: str = "done"
    reason: str = ""
    wall_seconds: float | None = 0.0
    train_seconds: float | None = 0.0
    peak_memory_mib: float | None = 0.0
    parameters: int | None = 0
    extra_params: int | None = 0
    flops_per_example: int | None = 0
    head_map: Mapping[str, Any] | None = field(default_factory=dict)
    start_weights: Mapping[str, Any] | None = field(default_factory=dict)
    steps: int | None = 0
    best_step: int | None = 0
    continued: int | None = 0
    signatures: Mapping[str, str] = field(default_factory=dict)
    log_tail: list[str] = field(default_factory=list)
    data: Mapping[str, Any] | None = None

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
