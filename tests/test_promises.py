"""What pyproject.toml promises is what the other files say and what `make test-lowest` tries."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import amad_bench
from amad_bench.runtime.versions import OLDEST_PYTHON

Make = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def pyproject(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def requirements(pyproject: dict[str, Any]) -> dict[str, SpecifierSet]:
    """The promised range of each package by its name."""
    project = pyproject["project"]
    extras, groups = project["optional-dependencies"], pyproject["dependency-groups"]
    # The others are no part of what is installed: one is heavy, one for clusters.
    assert set(extras) == {"pipeline", "slurm", "tensorboard"}
    assert set(groups) == {"dev"}
    lines = [
        *pyproject["build-system"]["requires"],
        *project["dependencies"],
        *extras["pipeline"],
        *groups["dev"],
    ]
    found = [Requirement(line) for line in lines]
    assert len({requirement.name for requirement in found}) == len(found)
    return {requirement.name: requirement.specifier for requirement in found}


def pinned(path: Path) -> dict[str, Version]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    pairs = [line.partition(";")[0].split("==") for line in lines]
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


def test_the_extra_that_is_installed_and_named_is_there(repository: Path, pyproject: dict[str, Any]) -> None:
    extra, cluster, more = pyproject["project"]["optional-dependencies"]
    for file, words in (
        ("Makefile", f'-e ".[{extra}]"'),  # pip only warns of an extra that is not there
        ("amad_bench/runtime/versions.py", f'{{"extra": "{extra}"}}'),
        ("amad_bench/cli/__init__.py", f"amad-bench[{extra}]"),
        ("amad_bench/losses/hungarian.py", f"amad-bench[{extra}]"),
        ("amad_bench/training/tensorboard.py", f"amad-bench[{more}]"),
        ("docs/many-machines.md", f'".[{extra},{cluster}]"'),
    ):
        assert words in (repository / file).read_text(encoding="utf-8"), file


def test_the_version_is_the_same_everywhere(repository: Path, pyproject: dict[str, Any]) -> None:
    assert pyproject["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "amad_bench.__version__"}
    citation = yaml.safe_load((repository / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == amad_bench.__version__
    changelog = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {amad_bench.__version__} - " in changelog


def test_the_tested_pythons_are_the_same_everywhere(repository: Path, pyproject: dict[str, Any]) -> None:
    classifiers = pyproject["project"]["classifiers"]
    names = [name.rpartition(" ")[2] for name in classifiers if "Python ::" in name]
    assert [Version(name).minor for name in names] == list(
        range(OLDEST_PYTHON[1], OLDEST_PYTHON[1] + len(names))
    )
    assert f"for version in {' '.join(names)}; do" in (repository / ".ci/pythons").read_text(encoding="utf-8")
    assert f"Python {names[0]}-{names[-1]}" in (repository / "README.md").read_text(encoding="utf-8")


def test_the_oldest_python_is_the_same_everywhere_and_no_newer_one_is_refused(
    repository: Path, pyproject: dict[str, Any]
) -> None:
    oldest = "{}.{}".format(*OLDEST_PYTHON)
    assert pyproject["project"]["requires-python"] == f">={oldest}"
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    assert f"None if sys.version_info >= {OLDEST_PYTHON} else" in makefile
    assert f"Python {oldest} or later is needed" in makefile
    assert pyproject["tool"]["pyright"]["pythonVersion"] == oldest
    assert pyproject["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"


def python_of(path: Path, version: tuple[int, int]) -> Path:
    """A command that runs Python code as if it were of another version."""
    code = f"import sys; sys.version_info = {(*version, 0)}; exec(sys.argv[1])"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$2"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def make(repository: Path, make_environment: dict[str, str]) -> Make:
    """`make` in the repository."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["make", *arguments]
        return subprocess.run(command, cwd=repository, env=make_environment, capture_output=True, text=True)

    return run


def test_a_python_that_is_too_old_is_refused_by_make(make: Make, tmp_path: Path) -> None:
    old, environment = python_of(tmp_path / "old", (3, 9)), tmp_path / "venv"
    done = make("install", f"VENV={environment}", f"PYTHON={old}")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        f"Python 3.11 or later is needed, {old} is 3.9; set PYTHON=python3.11"
    )
    assert not environment.exists()


def test_a_newer_python_than_those_tested_is_not_refused_by_make(make: Make, tmp_path: Path) -> None:
    new, environment = python_of(tmp_path / "new", (3, 15)), tmp_path / "venv"
    done = make("install", f"VENV={environment}", f"PYTHON={new}")
    assert "is needed" not in done.stderr
    assert f'"{new}" -m venv --clear {environment}' in done.stdout  # which a stand-in has not: make ends here
    assert done.returncode == 2


def test_an_environment_of_another_python_is_made_anew(make: Make, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    (environment / "bin").mkdir(parents=True)
    for name in ("python", "python3.12"):
        python_of(environment / "bin" / name, (3, 12))
    (environment / ".installed-3.12").touch()
    other = python_of(tmp_path / "other", (3, 13))
    kept = make("-n", "test-fast", f"VENV={environment}").stdout
    assert "venv --clear" not in kept
    assert "pip install" not in kept
    anew = make("-n", "test-fast", f"VENV={environment}", f"PYTHON={other}").stdout
    assert f'test -e {environment}/bin/python3.13 || "{other}" -m venv --clear {environment}' in anew
    assert "pip install" in anew
