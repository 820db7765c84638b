"""What a person sees of a whole sweep: Snakemake runs for real, with stand-ins for the commands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import expand
from amad_bench.plan.plan import Plan
from tests.test_snakefile import Project

pytestmark = pytest.mark.slow
TIME = re.compile(r"^\d\d:\d\d|(?<=after) +\d+ s")


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Project:
    return Project(tmp_path, repository)


@pytest.fixture
def plan(project: Project) -> Plan:
    return expand(load_config(project.folder / "configs/default.yaml"))


def lines(text: str) -> list[str]:
    """Without times, and without what Snakemake says before its loggers are there."""
    return [TIME.sub(" T", line) for line in text.splitlines() if not line.startswith("Using ")]


def test_the_log_of_a_sweep_is_short_and_says_what_it_must(project: Project, plan: Plan) -> None:
    (project.folder / "broken").write_text("-ce-")
    failed = project.snakemake("--cores", "1")
    assert failed.returncode == 1
    assert failed.stdout == ""
    said = lines(failed.stderr)
    teacher, ce, amad = (
        next(run.id for run in plan.runs if part in run.id) for part in ("teacher", "-ce-", "amad")
    )
    error = said.index(f"error: student {ce} failed")
    assert said[error + 1 : error + 3] == [f"  results/runs/{ce}/log.txt ends so:", "  | a bug"]
    for own in (
        f"{teacher}: done after T",
        f"{amad}: done after T",
        "graph: 3 planned, 2 done, 0 failed, 1 left",
    ):
        assert said.count(own) == 1, said
    assert said[-3:] == [
        "failures 0 runs failed, 1 job broken off; why:",
        "         amad-bench failures",
        "after T",
    ]
    assert len(said) < 40, failed.stderr

    (project.folder / "broken").unlink()
    said = lines(project.snakemake("--cores", "2").stderr)
    assert said[0] == " T  3 planned, 2 done, 0 failed, 1 left; about 60 s left, one run at a time"
    end = said.index("graph: 3 planned, 3 done, 0 failed, 0 left")
    assert said[end + 1] == "[########################] 100 %"
    for name in ("tables", "figures", "paper"):
        assert sum(line.startswith(f"{name} ") for line in said[end:]) == 1
    assert not any("failures" in line or "\x1b" in line for line in said)
    assert len(said) < 40

    again = lines(project.snakemake("--cores", "2").stderr)
    assert again[0].startswith("Nothing to be done")
    assert again[1] == "graph: 3 planned, 3 done, 0 failed, 0 left"


def test_a_dry_run_counts_and_snakemakes_own_list_can_be_had(project: Project) -> None:
    done = project.snakemake("-n")
    assert [line.split(maxsplit=2) for line in done.stdout.splitlines()[:4]] == [
        ["10", "jobs", "would be done:"],
        ["prepare", "1", "missing output files"],
        ["teacher", "1", "not begun"],
        ["student", "2", "not begun"],
    ]
    assert len(done.stdout.splitlines()) < 15
    own = project.snakemake("-n", "--logger-amad-bench-off").stdout
    assert own.count("rule student:") == 2


def test_a_quiet_sweep_says_how_it_ended(project: Project) -> None:
    said = lines(project.snakemake("--cores", "2", "--quiet").stderr)
    assert said[0] == "graph: 3 planned, 3 done, 0 failed, 0 left"
    assert project.snakemake("--cores", "2", "--quiet", "all").stderr.count("\n") <= 1


def test_a_view_that_fails_harms_nothing(project: Project) -> None:
    """The plan that is handed over is none: the first look at it fails."""
    path = project.folder / "Snakefile"
    path.write_text(path.read_text().replace("hand_over(PLAN, CONFIG)", "hand_over(None, CONFIG)"))
    done = project.snakemake("--cores", "2")
    assert done.returncode == 0, done.stderr
    assert "amad-bench: the view of the sweep ended (AttributeError" in done.stderr
    assert (project.folder / "paper/main.pdf").exists()


def test_the_sweep_goes_without_the_view(project: Project) -> None:
    done = project.snakemake("--cores", "2", "--workflow-profile", "none")
    assert done.returncode == 0, done.stderr
    assert "rule collect:" in done.stderr


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_on_a_terminal_it_is_repainted(project: Project, variables: dict[str, str], coloured: bool) -> None:
    pytest.importorskip("pty")
    code = f"""
import os, pty, sys
os.environ |= {variables!r} | {{"TERM": "xterm"}}
status = pty.spawn({[sys.executable, "-m", "snakemake", "--cores", "2"]!r})
raise SystemExit(os.waitstatus_to_exitcode(status))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.folder,
        env=project.environment(),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"\x1b\[\d+F\x1b\[J", done.stdout)
    assert ("\x1b[1m" in done.stdout) is coloured
    assert "paper    paper/main.pdf" in done.stdout
