"""Numbers as a person reads them."""

import pytest

from amad_bench.view.words import counted, duration, fitted


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89.4, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h"), (36000, "10.0 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 runs"), (1, "1 run"), (2000, "2,000 runs")])
def test_numbers_of_things(number: int, text: str) -> None:
    assert counted(number, "run") == text


@pytest.mark.parametrize(
    ("width", "text"),
    [(10, "abcdefghij"), (8, "abcd..ij"), (5, "ab..j"), (4, "abcd"), (1, "a"), (0, ""), (-1, "")],
)
def test_what_is_too_long_keeps_both_ends(width: int, text: str) -> None:
    assert fitted("abcdefghij", width) == text
