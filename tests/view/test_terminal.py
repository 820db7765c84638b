"""What is written on a terminal, and what in a log."""

import io

import pytest

from amad_bench.view.screen import Part
from amad_bench.view.terminal import Terminal

LINES = [(Part("one", "bold"), Part(" two")), (Part("three"),)]


class Tty(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


class Emulator:
    """The lines that a terminal of given columns shows; it knows only what `Terminal` makes use of."""

    def __init__(self, columns: int) -> None:
        self.columns, self.rows, self.row = columns, [""], 0

    def feed(self, text: str) -> None:
        while text:
            if text.startswith("\x1b["):
                code, text = text[2:], ""
                number = ""
                while code[0].isdigit():
                    number, code = number + code[0], code[1:]
                final, text = code[0], code[1:]
                if final == "F":
                    self.row = max(0, self.row - int(number))
                elif final == "J":
                    self.rows[self.row :] = [""]
                else:
                    assert final == "m"
            elif text[0] == "\n":
                self.row, text = self.row + 1, text[1:]
                self.rows += [""] * (self.row + 1 - len(self.rows))
            else:
                self.rows[self.row] += text[0]
                assert len(self.rows[self.row]) < self.columns
                text = text[1:]

    def narrow(self, columns: int) -> None:
        """Break lines that are longer, as most terminals do."""
        self.columns, rows = columns, []
        for row in self.rows:
            rows += [row[start : start + columns] for start in range(0, max(1, len(row)), columns)]
        self.rows, self.row = rows, len(rows) - 1


def test_painting_replaces_and_saying_stays_above() -> None:
    stream, shown = Tty(), Emulator(80)
    terminal = Terminal(stream, {"TERM": "xterm"}, size=lambda: (80, 24))
    terminal.say("first")
    terminal.paint(LINES)
    terminal.paint([(Part("four"),)])
    terminal.say("second", "third", style="red")
    terminal.paint(LINES)
    terminal.paint(())
    terminal.leave(LINES)
    shown.feed(stream.getvalue())
    assert shown.rows == ["first", "second", "third", "one two", "three", ""]


def test_a_terminal_that_is_made_narrower() -> None:
    stream, shown, columns = Tty(), Emulator(80), [80]
    terminal = Terminal(stream, {"TERM": "xterm"}, size=lambda: (columns[0], 24))
    terminal.say("first")
    terminal.paint([(Part("x" * 70),), (Part("y" * 20),)])
    shown.feed(stream.getvalue())
    stream.truncate(0)
    columns[0] = 30
    shown.narrow(30)
    assert shown.rows == ["first", "x" * 30, "x" * 30, "x" * 10, "y" * 20, ""]
    terminal.paint([(Part("z" * 20),)])
    shown.feed(stream.getvalue().lstrip("\0"))
    assert shown.rows == ["first", "z" * 20, ""]


@pytest.mark.parametrize(
    ("environment", "plain", "coloured"),
    [
        ({"TERM": "xterm"}, False, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, False, True),  # by the convention, empty is unset
        ({"TERM": "xterm", "NO_COLOR": "1"}, False, False),
        ({"TERM": "xterm"}, True, False),
    ],
)
def test_colours(environment: dict[str, str], plain: bool, coloured: bool) -> None:
    stream = Tty()
    Terminal(stream, environment, plain).paint(LINES)
    bold = "\x1b[1mone\x1b[0m two\nthree\n"
    assert stream.getvalue() == (bold if coloured else "one two\nthree\n")


@pytest.mark.parametrize(
    ("stream", "environment"),
    [(io.StringIO(), {"TERM": "xterm"}), (Tty(), {"TERM": "dumb"}), (Tty(), {})],
)
def test_nothing_is_painted_in_a_log(stream: io.StringIO, environment: dict[str, str]) -> None:
    terminal = Terminal(stream, environment)
    terminal.paint(LINES)
    terminal.say("text", style="red")
    terminal.leave(LINES)
    assert stream.getvalue() == "text\none two\nthree\n"


def test_what_the_encoding_lacks_is_an_escape() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Terminal(stream, {}).say("Müller")
    stream.seek(0)
    assert stream.read() == "M\\xfcller\n"


def test_the_last_column_and_row_stay_free() -> None:
    assert Terminal(Tty(), {"TERM": "xterm"}, size=lambda: (80, 24)).size == (79, 23)
    assert Terminal(Tty(), {"TERM": "xterm"}, size=lambda: (0, 0)).size == (1, 1)
