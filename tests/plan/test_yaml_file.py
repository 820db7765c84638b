"""YAML files that cannot be read end in one line that names the file."""

from pathlib import Path

import pytest

from amad_bench.plan.yaml_file import read_yaml
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
        (b"seed: " + b"1" * 5000, "limit"),
        (b"seed: !!int ''", "index out of range"),
        (b"seed: !!bool maybe", "'maybe'"),
        (b"? [a, b]\n: 1", "unhashable key"),
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
