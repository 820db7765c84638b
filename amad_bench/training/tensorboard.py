"""A training's step log for TensorBoard: its event files follow the log, which alone counts."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.run_folder.folder import RunFolder

TENSORBOARD = "tensorboard"  # of `plan.config.schema.Config.logging`


def follower(logging: str, folder: RunFolder) -> Callable[[], None]:
    """A function to be called now and then in a training; UserError where TensorBoard is not installed.

    logging: the config's.
    """
    if logging != TENSORBOARD:
        return lambda: None
    require_tensorboard()
    return EventFiles(folder.steps, folder.tensorboard).follow


def require_tensorboard() -> None:
    """UserError where TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        raise UserError(
            'logging: tensorboard: no Python package tensorboard; `pip install "amad-bench[tensorboard]"` '
            "installs it, or leave logging out"
        )


class EventFiles:
    """Event files in `folder`, made anew, with what is in the step log `log` and what is added to it.

    So a run that goes on from a checkpoint has no step twice.
    """

    def __init__(self, log: Path, folder: Path) -> None:
        self._log, self._folder = log, folder
        self._read = 0  # bytes
        self._writer: Any = None

    def follow(self) -> None:
        """Write what the log has more than at the last call; a full disk changes nothing else."""
        with suppress(OSError):
            self._follow()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _follow(self) -> None:
        if not self._log.exists():
            return
        if self._writer is None:
            from torch.utils.tensorboard.writer import SummaryWriter

            shutil.rmtree(self._folder, ignore_errors=True)
            self._writer = SummaryWriter(str(self._folder))
        with self._log.open("rb") as file:
            file.seek(self._read)
            whole, _, _ = file.read().rpartition(b"\n")
        for line in whole.splitlines():
            self._write(json.loads(line))
        self._read += len(whole) + bool(whole)
        self._writer.flush()

    def _write(self, row: dict[str, Any]) -> None:
        step = row.pop("step")
        for name, value in row.items():
            if isinstance(value, (int, float)):
                group, _, rest = name.partition("_")
                tag = f"{group}/{rest}" if group == "validation" else f"training/{name}"
                self._writer.add_scalar(tag, value, step)
