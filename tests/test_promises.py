"""What pyproject.toml promises is what the other files say and what `make test-lowest` tries."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version


@pytest.fixture(scope="module")
def pyproject(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def requirements(pyproject: dict[str, Any]) -> dict[str, SpecifierSet]:
    """The promised range of each package by its name."""
    project = pyproject["project"]
    extras = project["optional-dependencies"]
    assert set(extras) == {"bench", "test"}
    lines = [
        *pyproject["build-system"]["requires"],
        *project["dependencies"],
        *extras["bench"],
        *extras["test"],
    ]
    found = [Requirement(line) for line in lines]
    assert len({requirement.name for requirement in found}) == len(found)
    return {requirement.name: requirement.specifier for requirement in found}


def pinned(path: Path) -> dict[str, Version]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    pairs = [line.split("==") for line in lines]
    assert len({name for name, _ in pairs}) == len(pairs)
    return {name: Version(version) for name, version in pairs}


def test_the_lowest_versions_are_the_lower_bounds(
    repository: Path, requirements: dict[str, SpecifierSet]
) -> None:
    bounds = {
        name: [Version(part.version) for part in specifier if part.operator in (">=", "==")]
        for name, specifier in requirements.items()
    }
    assert {
        name: [version] for name, version in pinned(repository / "tests/requirements-lowest.txt").items()
    } == bounds


def test_the_locked_versions_are_within_the_ranges(
    repository: Path, requirements: dict[str, SpecifierSet]
) -> None:
    def normal(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    locked = {normal(name): version for name, version in pinned(repository / "requirements.lock").items()}
    outside = {
        name: str(locked[normal(name)])
        for name, specifier in requirements.items()
        if locked[normal(name)] not in specifier
    }
    assert outside == {}


def test_the_promised_pythons_are_the_same_everywhere(repository: Path, pyproject: dict[str, Any]) -> None:
    promised = SpecifierSet(pyproject["project"]["requires-python"])
    minors = [minor for minor in range(100) if f"3.{minor}" in promised]
    names = [f"3.{minor}" for minor in minors]
    assert minors == list(range(minors[0], minors[-1] + 1))
    classifiers = pyproject["project"]["classifiers"]
    assert [name.rpartition(" ")[2] for name in classifiers if "Python ::" in name] == names

    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    assert f"(3, {minors[0]}) <= sys.version_info < (3, {minors[-1] + 1})" in makefile
    assert f"Python {', '.join(names[:-1])} or {names[-1]} is needed" in makefile
    assert f"for version in {' '.join(names)}; do" in (repository / ".ci/pythons").read_text(encoding="utf-8")
    assert f"Python {names[0]}-{names[-1]}" in (repository / "README.md").read_text(encoding="utf-8")

    assert pyproject["tool"]["pyright"]["pythonVersion"] == names[0]
    assert pyproject["tool"]["ruff"]["target-version"] == f"py{names[0].replace('.', '')}"


def test_a_python_that_is_not_promised_is_refused_by_make(repository: Path, tmp_path: Path) -> None:
    fake = tmp_path / "python3"
    old = "import sys; sys.version_info = (3, 9, 1); exec(sys.argv[1])"
    fake.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{old}" "$2"\n')
    fake.chmod(0o755)
    done = subprocess.run(
        ["make", "install", f"VENV={tmp_path / 'venv'}", f"PYTHON={fake}"],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        f"Python 3.11, 3.12 or 3.13 is needed, {fake} is 3.9; set PYTHON=python3.11"
    )
    assert not (tmp_path / "venv").exists()
