import gzip
import json

import pytest

from amad_bench.data.formats.records import check_text, read_lines, take_id
from amad_bench.runtime.errors import UserError


def test_lines_of_plain_and_zipped_text(tmp_path):
    text = "größer \n\nweiß"
    (tmp_path / "a.txt").write_bytes(text.encode())
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(text.encode() + b"\n"))
    assert read_lines(tmp_path / "a.txt") == read_lines(tmp_path / "a.txt.gz") == ["größer", "", "weiß"]


def test_a_line_separator_inside_a_sentence_starts_no_line(tmp_path):
    (tmp_path / "a.txt").write_text("one\u2028same\x0cline\ntwo\n", encoding="utf-8")
    assert len(read_lines(tmp_path / "a.txt")) == 2


def test_a_byte_order_mark_or_windows_line_ends_are_refused(tmp_path):
    """Both change the data: a first word with an invisible character, and another hash of equal sentences."""
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\ntwo\n")
    with pytest.raises(UserError, match=r"a.txt: line 1 starts with a byte order mark; save it"):
        read_lines(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes(b"one\ntwo\r\n")
    with pytest.raises(UserError, match=r"a.txt: line 2 ends in a carriage return \(CRLF, .*\); save it"):
        read_lines(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes(b"one\rsame line\n")
    assert len(read_lines(tmp_path / "a.txt")) == 1


def test_whole_numbers():
    assert take_id({"id": 3}, "id", "x") == 3
    for value in (True, 3.0, "3", None):
        with pytest.raises(UserError, match=f"^x: 'id' must be a whole number, found {value!r}; "):
            take_id({"id": value}, "id", "x")


def test_missing_broken_and_foreign_files(tmp_path):
    with pytest.raises(UserError, match=r"a.txt: no such file"):
        read_lines(tmp_path / "a.txt")
    (tmp_path / "a.gz").write_bytes(b"no gzip")
    with pytest.raises(UserError, match=r"a.gz: cannot be read"):
        read_lines(tmp_path / "a.gz")
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"some text that is cut short" * 9)[:-12])
    with pytest.raises(UserError, match=r"b.gz: cannot be read"):
        read_lines(tmp_path / "b.gz")
    whole = gzip.compress(b"some text with a damaged byte" * 9)
    (tmp_path / "c.gz").write_bytes(whole[:10] + b"\x07" + whole[11:])  # the first block is of no known type
    with pytest.raises(UserError, match=r"c.gz: cannot be read .*invalid block type"):
        read_lines(tmp_path / "c.gz")
    (tmp_path / "a.txt").write_bytes("ok\nweiß\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"a.txt: line 2 is not UTF-8 \(byte 3\); save"):
        read_lines(tmp_path / "a.txt")


def test_half_a_character_is_no_text():
    whole = check_text(json.loads('"a \\ud83d\\ude00"'), "caption", "x.json: caption id 4")
    assert whole == "a \N{GRINNING FACE}"
    with pytest.raises(UserError, match=r"^x.json: caption id 4: caption has half a character .*; fix it$"):
        check_text(json.loads('"a \\ud800"'), "caption", "x.json: caption id 4")
