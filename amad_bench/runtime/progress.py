"""Progress with an estimate of the time left, on stderr."""

import sys
from typing import Any

from tqdm import tqdm


def progress(total: int, description: str, unit: str = "step") -> "tqdm[Any]":
    """A bar, used as a context manager: `.update(n)` per step, `.set_postfix_str(text)` for a live value.

    On a terminal it moves twice a second; in a log file it writes a line of its own every half minute.
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
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
