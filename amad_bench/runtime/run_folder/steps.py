"""steps.jsonl: how a training went, a line per logged step and per validation."""

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from amad_bench.runtime.errors import RunFailed, UserError
from amad_bench.runtime.files import read_bytes

LOG_EVERY = 20  # steps between two lines
_WHAT_TO_DO = "delete the run's folder and run again"
_Row = TypeVar("_Row")


@dataclass(frozen=True)
class Alignment:
    """A description of how the heads of a student's layer are aligned (`losses.diagnostics`).

    rows: one per teacher head, a column per student head; each sums to 1.
    """

    entropy: float
    largest_weight: float
    changed_share: float | None
    rows: list[list[float]]


@dataclass(frozen=True)
class TrainingStep:
    """The line of a step. parts: those of the loss by name, unweighted.

    padding_share: of the batch, None in a pre-training. alignment: by "site/student layer", {} where the loss
    aligns no heads.
    """

    step: int
    learning_rate: float
    loss: float
    gradient_norm: float
    parts: Mapping[str, float]
    padding_share: float | None
    alignment: Mapping[str, Alignment]


class Validation(NamedTuple):
    """The line of a validation of a teacher or student; the share of target tokens predicted right."""

    step: int
    validation_token_accuracy: float
    validation_loss: float


class Scalar(Protocol):
    """A tensor with one value."""

    def item(self) -> float: ...


class StepLog:
    """A log in the making; RunFailed("diverged") for a loss or a gradient that is not finite.

    path: None only looks at the numbers.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file = path.open("ab") if path else None

    def __enter__(self) -> "StepLog":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def start(self, kept: int) -> None:
        """Go on behind the first `kept` bytes of an older log; UserError where it has fewer."""
        if self._path is None or self._file is None:
            return
        if self._path.stat().st_size < kept:
            raise UserError(f"{self._path}: shorter than its checkpoint says; {_WHAT_TO_DO}")
        self._file.truncate(kept)

    def synced(self) -> int:
        """The log's bytes so far, all of which are on the disk now."""
        if self._path is None or self._file is None:
            return 0
        os.fsync(self._file.fileno())
        return self._path.stat().st_size

    def training(
        self,
        step: int,
        rate: float,
        loss: Scalar,
        norm: Scalar,
        parts: Mapping[str, Scalar],
        padding_share: float | None = None,
        alignment: Mapping[str, Alignment] | None = None,
    ) -> None:
        """Write the line of a step, see TrainingStep."""
        numbers = {"step": step, "learning_rate": rate, "loss": loss.item(), "gradient_norm": norm.item()}
        numbers |= {name: part.item() for name, part in parts.items()}
        described = alignment and {key: asdict(one) for key, one in alignment.items()}
        more = {"padding_share": padding_share, "alignment": described}
        self._write(numbers, {name: value for name, value in more.items() if value is not None})

    def validation(
        self, step: int, *, validation_loss: float, validation_token_accuracy: float | None = None
    ) -> None:
        """Write the line of a validation; that of a pre-training has a loss only."""
        numbers: dict[str, float] = {"step": step}
        if validation_token_accuracy is not None:
            numbers["validation_token_accuracy"] = validation_token_accuracy
        self._write(numbers | {"validation_loss": validation_loss}, {})

    def _write(self, numbers: dict[str, float], more: dict[str, Any]) -> None:
        if not all(math.isfinite(value) for value in numbers.values()):
            raise RunFailed(
                "diverged", f"loss or gradient is not finite at step {numbers['step']}: {numbers}"
            )
        if self._file is None:
            return
        self._file.write(f"{json.dumps(numbers | more)}\n".encode())
        self._file.flush()


def read_training(path: Path) -> list[TrainingStep]:
    """The logged steps of a training, in order; UserError for a log that is missing or damaged."""
    if not path.exists():
        raise UserError(f"{path}: no such file; train that run first")
    return _read(path, "learning_rate", _training_step, "step, learning_rate, loss and gradient_norm")


def read_validations(path: Path, required: bool) -> list[Validation]:
    """The validations of a teacher or student, in order; none where there is no log and none is required.

    UserError for a log that is missing or damaged.
    """
    if path.exists():
        expected = "step, validation_token_accuracy and validation_loss"
        return _read(path, "validation_token_accuracy", _validation, expected)
    if required:
        raise UserError(f"{path}: the run is done but its step log is missing; {_WHAT_TO_DO}")
    return []


def _training_step(row: dict[str, Any]) -> TrainingStep:
    named = {name: row.pop(name) for name in ("step", "learning_rate", "loss", "gradient_norm")}
    share = row.pop("padding_share", None)
    alignment = {key: Alignment(**one) for key, one in row.pop("alignment", {}).items()}
    return TrainingStep(**named, parts=row, padding_share=share, alignment=alignment)


def _validation(row: dict[str, Any]) -> Validation:
    step, accuracy, loss = (row[name] for name in Validation._fields)
    return Validation(int(step), float(accuracy), float(loss))


def _read(path: Path, key: str, read: Callable[[dict[str, Any]], _Row], expected: str) -> list[_Row]:
    """The lines that have a key; the others, some of them long, are not parsed."""
    found = []
    for number, line in enumerate(read_bytes(path).split(b"\n"), start=1):
        if key.encode() in line:
            try:
                found.append(read(json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
                raise UserError(f"{path}: line {number}: {expected} were expected; {_WHAT_TO_DO}") from None
    return found
