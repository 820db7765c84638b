"""The step log of a training: one JSON object per line, never a number that is not finite."""

import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor

from amad_bench.runtime.errors import RunFailed

LOG_EVERY = 20  # steps between two lines


class StepLog:
    """Lines of steps.jsonl; RunFailed("diverged") for a loss or a gradient that is not finite."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def __enter__(self) -> "StepLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tail: TracebackType | None
    ) -> None:
        self._file.close()

    def training(
        self, step: int, rate: float, loss: Tensor, norm: Tensor, parts: dict[str, Tensor], **more: Any
    ) -> None:
        """One training step; parts: unweighted scalars by name."""
        row = {"step": step, "learning_rate": rate, "loss": loss.item(), "gradient_norm": norm.item()}
        self._write(row | {name: part.item() for name, part in parts.items()}, more)

    def validation(self, step: int, **values: float) -> None:
        self._write({"step": step, **values}, {})

    def _write(self, numbers: dict[str, float], more: dict[str, Any]) -> None:
        if not all(math.isfinite(value) for value in numbers.values()):
            raise RunFailed(
                "diverged", f"loss or gradient is not finite at step {numbers['step']}: {numbers}"
            )
        self._file.write(json.dumps(numbers | more) + "\n")
        self._file.flush()
