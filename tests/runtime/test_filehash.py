"""Hashes of files: always right, and remembered for large files only."""

import hashlib
import os
from pathlib import Path

import pytest

from amad_bench.runtime import filehash


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settled file that counts as large."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(filehash, "LARGE", 10)
    path = tmp_path / "large"
    _write(path, b"x" * 20, age=100)
    return path


def _write(path: Path, content: bytes, age: float) -> None:
    path.write_bytes(content)
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))


def _next_process() -> None:
    filehash._sha256.cache_clear()


def _reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    seen: list[Path] = []
    real = filehash.read_sha256
    monkeypatch.setattr(filehash, "read_sha256", lambda path: seen.append(path) or real(path))
    return seen


def test_a_large_file_is_read_once(large: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    reads = _reads(monkeypatch)
    expected = hashlib.sha256(b"x" * 20).hexdigest()
    assert filehash.file_sha256(large) == expected
    _next_process()
    assert filehash.file_sha256(large) == expected
    assert reads == [large.resolve()]
    assert capsys.readouterr().err.count("\n") == 1


def test_a_changed_file_is_read_again(large: Path) -> None:
    filehash.file_sha256(large)
    _next_process()
    _write(large, b"y" * 20, age=50)
    assert filehash.file_sha256(large) == hashlib.sha256(b"y" * 20).hexdigest()


def test_a_file_that_was_just_written_is_not_remembered(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(large, b"y" * 20, age=0)
    reads = _reads(monkeypatch)
    filehash.file_sha256(large)
    _next_process()
    filehash.file_sha256(large)
    assert len(reads) == 2


def test_a_small_file_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").write_bytes(b"x")
    assert filehash.file_sha256(tmp_path / "small") == hashlib.sha256(b"x").hexdigest()
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_a_broken_memory_is_ignored(large: Path) -> None:
    filehash.file_sha256(large)
    Path("results/data/file_hashes.json").write_text("{")
    _next_process()
    assert filehash.file_sha256(large) == hashlib.sha256(b"x" * 20).hexdigest()
