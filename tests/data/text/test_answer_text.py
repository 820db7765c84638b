"""The whole official rule is tested by tests/scoring/test_vqa.py; here what the vocabulary needs of it."""

import pytest

from amad_bench.data.text.answer_text import normalise


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The Net", "net"),
        ("two", "2"),
        ("dont know", "don't know"),
        ("1,000", "1000"),
        ("11:30", "11:30"),
        ("2.5", "2.5"),
        ("st. john", "st john"),
        ("black & white", "black & white"),
        ("t-shirt", "t shirt"),
        ("left - right", "left  right".replace("  ", " ")),
        ("a", ""),
        ("?", ""),
        (" tennis\n", "tennis"),
    ],
)
def test_normalise(answer, expected):
    assert normalise(answer) == expected
    assert normalise(expected) == expected  # the vocabulary's entries stay as they are
