"""Fixtures shared by all tests."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def make_environment() -> dict[str, str]:
    """For a `make` that a test calls: without the variables of the `make test` that may run the test."""
    theirs = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PYTHON", "VENV", "PINS")
    return {name: value for name, value in os.environ.items() if name not in theirs}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real data sets; where it is absent, tests that need it are skipped and say so."""
    folder = Path(os.environ.get("AMAD_DATA", REPOSITORY.parent / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set AMAD_DATA")
    return folder


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    """The folder with real pre-trained weights, likewise."""
    folder = REPOSITORY.parent / "shared" / "weights"
    if not folder.is_dir():
        pytest.skip(f"no real weights at {folder}")
    return folder


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-ins for what configs/paper.yaml reads. Read-only by agreement: who changes it copies it."""
    from tests.standins import write_paper_data

    return write_paper_data(tmp_path_factory.mktemp("published"))


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """command(data, config, *arguments): code, output and errors; in an empty folder with the manifests."""
    from amad_bench.cli import main

    shutil.copytree(REPOSITORY / "configs/data", tmp_path / "work/configs/data")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr("amad_bench.runtime.paths._SOURCE_TREE", tmp_path)

    def run(data: Path, config: Path, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setenv("AMAD_DATA", str(data))
        capsys.readouterr()
        code = main([*arguments, "--config", str(config)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.user_properties += [("trap", marker.args[0]) for marker in item.iter_markers("trap")]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """`pytest -m trap`: the statements of docs/ that tests guard, each with its tests and how they ended."""
    if config.option.markexpr != "trap" or config.option.collectonly:
        return
    from tests.statements import statements

    tests: dict[str, set[str]] = {}
    for outcome in ("passed", "skipped", "failed", "error"):
        for report in terminalreporter.getreports(outcome):
            for identifier in (value for name, value in report.user_properties if name == "trap"):
                tests.setdefault(identifier, set()).add(f"{outcome:8}{report.nodeid.partition('[')[0]}")
    section = ""
    for statement in statements(REPOSITORY):
        if statement.guarded:
            if section != (section := f"docs/{statement.page}.md: {statement.section}"):
                terminalreporter.write_sep("-", section)
            ended = sorted(tests.get(statement.id, {"no test ran"}))
            terminalreporter.write_line("\n    ".join([f"{statement.id} {statement.text}", *ended]))
