"""YAML files that cannot be read end in one line that names the file."""

from pathlib import Path

import pytest

from amad_bench.plan.config.yaml_file import read_yaml
from amad_bench.runtime.errors import UserError


def message(path: Path) -> list[str]:
    with pytest.raises(UserError) as caught:
        read_yaml(path)
    lines = caught.value.messages
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


def written(folder: Path, content: bytes) -> Path:
    path = folder / "config.yaml"
    path.write_bytes(content)
    return path


def test_plain_values_are_read(tmp_path: Path) -> None:
    assert read_yaml(written(tmp_path, "a: [1, 2.5, ä]".encode())) == {"a": [1, 2.5, "ä"]}
    assert read_yaml(written(tmp_path, b"")) is None


def test_anchors_are_allowed(tmp_path: Path) -> None:
    assert read_yaml(written(tmp_path, b"a: &x {k: 1}\nb: *x\n")) == {"a": {"k": 1}, "b": {"k": 1}}


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    assert "no such config file" in message(tmp_path / "absent.yaml")[0]
    assert "Is a directory" in message(tmp_path)[0]


def test_broken_syntax_names_the_line(tmp_path: Path) -> None:
    assert message(written(tmp_path, b"a: 1\nb: [1,\nc: }\n"))[0].startswith("line 3: broken YAML")
    assert "broken YAML" in message(written(tmp_path, b"a: 1\n\x00"))[0]
    assert "broken YAML" in message(written(tmp_path, b"a: !!python/object:os.system {}\n"))[0]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"name: 2026-13-45", "month must be in 1..12"),
        (b"seed: " + b"1" * 5000, "seed: a number of more than 100 digits"),
        (b"a: {b: 0x" + b"f" * 5000 + b"}", "a.b: a number of more than 100 digits"),
        (b"seed: !!int ''", "index out of range"),
        (b"seed: !!bool maybe", "'maybe'"),
        (b"? [a, b]\n: 1", "expected text as key, found a list"),
        (b"foo: &a [*a]", "an alias inside its anchor"),
        (b"foo: " + b"[" * 3000 + b"]" * 3000, "nest"),
    ],
)
def test_values_that_cannot_be_built_are_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    (line,) = message(written(tmp_path, content))
    assert says in line


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    assert message(written(tmp_path, b"name: caf\xe9")) == ["not UTF-8 text (byte 9); save it as UTF-8"]


def test_all_keys_that_stand_twice_are_reported(tmp_path: Path) -> None:
    path = written(tmp_path, b"a: 1\nb:\n  - {c: 1, c: 2}\na: 3\n")
    assert message(path) == [
        "b[0].c: the key stands twice (lines 3 and 3); keep one",
        "a: the key stands twice (lines 1 and 4); keep one",
    ]


def test_anchors_are_named(tmp_path: Path) -> None:
    assert message(written(tmp_path, b"a: &x 1\nb: !!int &x 2\nc: &y [*x, *z]\nd: &y 1\n")) == [
        "line 2: the anchor &x stands in line 1 already; rename one",
        "line 3: the alias *z stands for nothing; write &z before it",
        "line 4: the anchor &y stands in line 3 already; rename one",
    ]


def test_a_merge_is_overridden_by_what_stands_beside_it(tmp_path: Path) -> None:
    path = written(tmp_path, b"a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}\n")
    assert read_yaml(path)["b"] == {"k": 1, "l": 3}


def test_aliases_of_aliases_of_aliases(tmp_path: Path) -> None:
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for one, two in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{two}: &{two} [{', '.join([f'*{one}'] * 10)}]")
    few, many = ("\n".join(lines[:count]).encode() for count in (3, 9))
    assert read_yaml(written(tmp_path, few))["c"][9][9] == [1] * 10
    assert "aliases for more than 100,000 values" in message(written(tmp_path, many))[0]


def test_levels_without_an_end(tmp_path: Path) -> None:
    path = written(tmp_path, b"a: 1\nb: " + b"[" * 1_000_000)
    assert message(path) == ["line 2: nested too deeply, in more than 50 levels; correct that line"]


def test_a_second_document(tmp_path: Path) -> None:
    line = "line 2: broken YAML (expected a single document in the stream but found another document)"
    assert message(written(tmp_path, b"a: &x 1\n---\na: &x 1\n"))[0].startswith(line)
    assert read_yaml(written(tmp_path, b"---\na: 1\n...\n")) == {"a": 1}


@pytest.mark.parametrize("number", ["010", "-07", "1:30", "1:30.5"])
def test_numbers_that_are_not_what_they_seem(tmp_path: Path, number: str) -> None:
    (line,) = message(written(tmp_path, f"a: [1, {{b: {number}}}]".encode()))
    base = 60 if ":" in number else 8
    assert line.startswith(f"a[1].b: YAML reads {number} in base {base}; write a decimal number")
    assert read_yaml(written(tmp_path, f"a: '{number}'".encode())) == {"a": number}


def test_numbers_that_are_what_they_seem(tmp_path: Path) -> None:
    values = read_yaml(written(tmp_path, b"[0, -1, 1_000, 0x10, 0.5, 1.0e-3, 00:x]"))
    assert values == [0, -1, 1000, 16, 0.5, 0.001, "00:x"]


def test_keys_that_are_no_text_are_shown_as_they_stand(tmp_path: Path) -> None:
    advice = "write the key in quotes or correct it"
    assert message(written(tmp_path, b"sites: {no: 1}\n~: 3\n")) == [
        f"sites.no: expected text as key, found 'no', which YAML reads as bool; {advice}",
        f"~: expected text as key, found '~', which YAML reads as null; {advice}",
    ]


def test_a_decimal_comma_is_named(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("training: {learning_rate: 0,001, steps: 5}\n")
    with pytest.raises(
        UserError, match=r"training\.001: expected text as key, .* write a point, not a comma"
    ):
        read_yaml(path)
