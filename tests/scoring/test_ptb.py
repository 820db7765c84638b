"""Oracle: pycocoevalcap's own tokenizer."""

import tempfile

import pytest

from amad_bench.scoring.java import JavaFailed
from amad_bench.scoring.ptb import ptb_tokenize
from tests.scoring.pycocoevalcap_oracle import tokens

# abbreviations at the blocks' ends: their tokens depend on what the lexer sees next
FIRST = ["A dog at Apple Inc.", "it is 5 p.m.", "", "The end is in the U.S."]
SECOND = ["Another dog etc.", "  ", "*NL* (here) -- \"there\" 'tis don't", "two 3/4 pounds at St.", ""]


@pytest.mark.usefixtures("java_on_path")
def test_blocks_equal_separate_runs_of_pycocoevalcap():
    first, second = (tokens({"x": block})["x"] for block in (FIRST, SECOND))
    assert ptb_tokenize(FIRST, SECOND, FIRST) == [first, second, first]


def test_line_breaks_inside_captions_do_not_shift_the_others():
    breaks = ["\n", "\r", "\r\n", "\v", "\f", "\u2028", "\u2029", "\n\n"]
    block = [text for mark in breaks for text in (f"a{mark}dog", "next")]
    assert ptb_tokenize(block) == [["a dog", "next"] * len(breaks)]


def test_half_an_emoji_is_no_crash():
    assert ptb_tokenize(["a \ud83d dog"]) == [["a dog"]]


def test_packages_and_temporary_files_below_any_path(beside_umlauts, monkeypatch):
    temporary = beside_umlauts / "temporär"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    assert ptb_tokenize(["Ein Bär."]) == [["ein bär"]]


def test_equal_blocks_are_sent_once(fake_java):
    fake_java("printf 'a\\nb'")  # of a block that was sent twice it would have to answer five lines
    assert ptb_tokenize(["a", "b"], ["a", "b"]) == [["a", "b"], ["a", "b"]]


def test_what_stands_between_two_blocks_must_be_blank(fake_java):
    fake_java("printf 'a\\n\\nb'")
    assert ptb_tokenize(["a"], ["b"]) == [["a"], ["b"]]
    fake_java("printf 'a\\nb\\n'")  # as many lines as expected, but one caption slid up
    with pytest.raises(JavaFailed, match="'b' came out where the blank line between two blocks was expected"):
        ptb_tokenize(["a"], ["b"])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("exit 1", "ended with code 1"),
        ("echo one; echo two", "2 lines went in, 3 came out"),  # a caption too many
        ("printf one", "2 lines went in, 1 came out"),  # a caption lost, with exit code 0
    ],
)
def test_no_caption_is_lost_silently(fake_java, body, reason):
    fake_java(body)
    with pytest.raises(JavaFailed, match=reason):
        ptb_tokenize(["first", "second"])
