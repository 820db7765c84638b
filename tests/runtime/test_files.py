"""Files are complete or absent."""

import gzip
from pathlib import Path

import pandas as pd
import pytest

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import (
    abandoned,
    atomic_directory,
    atomic_file,
    read_bytes,
    read_json,
    write_json_atomic,
    write_table,
    write_text_atomic,
)
from tests.runtime.other_process import other_process


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def half_written(path: Path) -> None:
    """Writes, then fails as a full disk or a broken source would."""
    path.write_text("half")
    path.parent.read_bytes()


def test_json_survives_a_round_trip_and_makes_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    write_json_atomic(path, {"ü": [1, 2.5, None], "b": {"z": 1, "a": 2}})
    assert read_json(path) == {"ü": [1, 2.5, None], "b": {"z": 1, "a": 2}}
    assert "ü" in path.read_text(encoding="utf-8")
    assert names(path.parent) == ["b.json"]


def test_a_file_name_that_is_no_utf8_survives_in_json(tmp_path: Path) -> None:
    name = b"sm\xf8r".decode("utf-8", "surrogateescape")
    write_json_atomic(tmp_path / "a.json", {name: 1})
    assert read_json(tmp_path / "a.json") == {name: 1}


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json_atomic(path, 1)
    with pytest.raises(ValueError, match="Out of range"):
        write_json_atomic(path, float("nan"))
    with pytest.raises(IsADirectoryError), atomic_file(path) as temporary:
        half_written(temporary)
    assert read_json(path) == 1
    assert names(tmp_path) == ["a.json"]


def test_a_directory_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "data"
    with atomic_directory(target) as temporary:
        (temporary / "x").write_text("1")
        assert not target.exists()
    assert names(tmp_path) == ["data"]
    assert names(target) == ["x"]


def test_an_unfinished_directory_goes(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), atomic_directory(tmp_path / "data") as temporary:
        half_written(temporary / "x")
    assert names(tmp_path) == []


def test_the_first_of_two_processes_wins(tmp_path: Path) -> None:
    target = tmp_path / "data"
    with atomic_directory(target) as late:
        (late / "x").write_text("late")
        with atomic_directory(target) as early:
            (early / "x").write_text("early")
    assert (target / "x").read_text() == "early"
    assert names(tmp_path) == ["data"]


def test_a_file_where_the_directory_belongs_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(OSError, match="Not a directory"), atomic_directory(tmp_path / "data"):
        pass
    assert names(tmp_path) == ["data"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"a": 1,\n', "broken JSON in line 2"),
        (b"", "broken JSON in line 1"),
        (b'"\xff"', "not UTF-8"),
        (b'\xef\xbb\xbf{"a": 1}', "starts with a byte order mark"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "broken JSON (key 'c' twice in one object: {'c': 2})"),
        (b'{"a": [1, NaN]}', "broken JSON (NaN is no JSON value)"),
        (b'{"a": -Infinity}', "broken JSON (-Infinity is no JSON value)"),
        (b"[" * 100_000, "broken JSON (maximum recursion depth"),
        (b"1" * 5_000, "broken JSON (Exceeds the limit"),
    ],
)
def test_unreadable_json_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: {says}")
    assert "\n" not in str(caught.value)


def test_zipped_json_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b'{"a": 1}'))
    assert read_json(tmp_path / "a.json.gz") == {"a": 1}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loop.json").symlink_to(tmp_path / "loop.json")
    with pytest.raises(
        UserError, match=r"loop\.json: cannot be read \(Too many levels of symbolic links\); make"
    ):
        read_bytes(tmp_path / "loop.json")
    (tmp_path / "cut.json.gz").write_bytes(gzip.compress(b"[1, 2]")[:-4])
    with pytest.raises(UserError, match=r"cut\.json\.gz: cannot be read \(Compressed file ended"):
        read_json(tmp_path / "cut.json.gz")

    def refuse(path: Path) -> bytes:
        raise PermissionError(
            13, "Permission denied", str(path)
        )  # root, who may run the tests, is never refused

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UserError, match=r"a\.json: cannot be read \(Permission denied\); make it readable"):
        read_json(tmp_path / "a.json")


def test_absent_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.json: no such file"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match="this is a folder"):
        read_json(tmp_path)


def test_a_table_is_written_twice_and_equal_frames_give_equal_bytes(tmp_path: Path) -> None:
    frame = pd.DataFrame({"name": ["a", "b"], "value": [1.0, float("nan")]}, index=[5, 7])
    for name in ("one", "two"):
        write_table(frame, tmp_path / "tables" / name)
    assert names(tmp_path / "tables") == ["one.csv", "one.parquet", "two.csv", "two.parquet"]
    for suffix in ("csv", "parquet"):
        one, two = ((tmp_path / "tables" / f"{name}.{suffix}").read_bytes() for name in ("one", "two"))
        assert one == two
    back = pd.read_parquet(tmp_path / "tables/one.parquet")
    pd.testing.assert_frame_equal(back, frame.reset_index(drop=True))
    assert (tmp_path / "tables/one.csv").read_text() == "name,value\na,1.0\nb,\n"


def test_a_name_with_dots_keeps_them(tmp_path: Path) -> None:
    write_table(pd.DataFrame({"a": [1]}), tmp_path / "v1.2")
    assert names(tmp_path) == ["v1.2.csv", "v1.2.parquet"]


def test_written_files_are_as_readable_as_any_other(tmp_path: Path) -> None:
    write_text_atomic(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_what_a_killed_process_leaves_is_known_and_what_a_living_one_fills_is_not(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from amad_bench.runtime.files import atomic_directory\n"
        "with atomic_directory(Path(sys.argv[1]) / 'data'): print('in', flush=True); time.sleep(60)"
    )
    with other_process(code, tmp_path) as (_, line):
        assert line == "in\n"
        (tmp_path / "whole").mkdir()
        assert len(names(tmp_path)) == 2
        assert abandoned(tmp_path) == []
    (left,) = abandoned(tmp_path)
    assert left.name.startswith(".data.")
    assert abandoned(tmp_path / "absent") == []


@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "a.txt"])
def test_a_git_lfs_pointer_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 3\n")
    with pytest.raises(UserError, match=rf"{name}: a Git LFS pointer, .*; fetch that with `git lfs pull`$"):
        read_bytes(tmp_path / name)
