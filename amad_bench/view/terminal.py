"""A stream that a person reads: a terminal whose last lines are painted again and again, or a log."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from amad_bench.view.screen import Line, Part, text_of

LOG_WIDTH = 110  # characters of a table in a log
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "cyan": "36"}
_CLEAR = "\x1b[J"  # from the cursor to the end of the screen


class Terminal:
    """Lines on a stream: some stay (`say`), the last ones are replaced (`paint`) where the stream allows it.

    repaints: whether it is a terminal that can. Colours are left out where NO_COLOR is set or `plain` asks
    for it. size: (columns, rows) of a terminal.
    """

    def __init__(
        self,
        stream: TextIO,
        environment: Mapping[str, str] = os.environ,
        plain: bool = False,
        size: Callable[[], tuple[int, int]] | None = None,
    ) -> None:
        self._stream = stream
        self.repaints = stream.isatty() and environment.get("TERM", "dumb") != "dumb"
        self._colours = self.repaints and not plain and not environment.get("NO_COLOR")
        self._size = size or self._measured
        self._painted: list[int] = []  # the length of each line that `paint` wrote last

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of what can be painted: the last column and row stay free."""
        columns, rows = self._size()
        return max(1, columns - 1), max(1, rows - 1)

    def say(self, *texts: str, style: str = "") -> None:
        """Lines that stay, above what is painted."""
        self.leave([(Part(line, style),) for text in texts for line in text.split("\n")])

    def leave(self, lines: Sequence[Line]) -> None:
        """Lines that stay, as `say`."""
        self._write(self._erased() + "".join(self._coded(line) + "\n" for line in lines))

    def paint(self, lines: Sequence[Line]) -> None:
        """Replace what was painted last; nothing where the stream does not repaint."""
        if not self.repaints:
            return
        erased = self._erased()
        self._painted = [len(text_of(line)) for line in lines]
        self._write(erased + "".join(self._coded(line) + "\n" for line in lines))

    def _erased(self) -> str:
        """Back to the first painted line. A terminal that was made narrower has broken lines into more."""
        columns, rows = self._size()
        up = sum(max(1, -(-length // max(1, columns))) for length in self._painted)
        self._painted = []
        return f"\x1b[{min(up, rows)}F{_CLEAR}" if up else ""

    def _coded(self, line: Line) -> str:
        if not self._colours:
            return text_of(line)
        return "".join(
            f"\x1b[{_CODES[part.style]}m{part.text}\x1b[0m" if part.style else part.text for part in line
        )

    def _write(self, text: str) -> None:
        if text:
            encoding = self._stream.encoding or "utf-8"
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self._stream.flush()

    def _measured(self) -> tuple[int, int]:
        try:
            found = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            return shutil.get_terminal_size()
        return (found.columns or 80, found.lines or 24)
