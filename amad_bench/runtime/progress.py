"""Progress of this process: bars with an estimate of the time left, on stderr, and a run's live.json."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from amad_bench.runtime.run_folder.live import LiveWriter
from amad_bench.runtime.run_folder.steps import Scalar

_described: list[LiveWriter] = []  # one at most: a process trains one run


@contextmanager
def described(path: Path, also: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Inside, `phase` and the steps of a bar are described in a run's live.json.

    It is gone when the run has ended, and says so when the run was broken off. also: see LiveWriter.
    """
    live = LiveWriter(path, also)
    _described[:] = [live]
    try:
        yield
    except BaseException:
        live.interrupted()
        raise
    else:
        live.ended()
    finally:
        _described.clear()


def phase(name: str) -> None:
    """Another part of a run begins: "data", "training"."""
    for live in _described:
        live.phase(name)


class Bar(tqdm):
    """A bar of this process."""

    def step(self, step: int, loss: Scalar) -> None:
        """A step of a training, counted from 1, is done."""
        self.update()
        for live in _described:
            live.step(step, int(self.total), loss)


def progress(total: int, description: str, unit: str = "step", shown: bool = True) -> "Bar":
    """A bar, used as a context manager: `.update(n)` per step, `.set_postfix_str(text)` for a live value.

    On a terminal it moves twice a second; in a log file it writes a line of its own every half minute; not
    shown, it does nothing.
    """
    terminal = sys.stderr.isatty()
    return Bar(
        total=total,
        disable=not shown,
        desc=description,
        unit=unit,
        file=sys.stderr if terminal else _Lines(),
        mininterval=0.5 if terminal else 30.0,
        miniters=1,
        dynamic_ncols=terminal,
        ascii=not terminal,
        leave=True,
    )


class _Lines:
    """Turns tqdm's carriage returns into lines, so that a log file stays readable."""

    def write(self, text: str) -> None:
        text = text.strip("\r\n ")
        if text:
            print(text, file=sys.stderr)

    def flush(self) -> None:
        sys.stderr.flush()
