"""A sweep under Snakemake, by made-up records of its log."""

import io
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amad_bench.plan.plan import Plan
from amad_bench.view import sweep as module
from amad_bench.view import watch
from amad_bench.view.sweep import Sweep, hand_over
from amad_bench.view.terminal import Terminal
from tests.run_folders import begin_run, end_run
from tests.view.test_terminal import Emulator, Tty

NOTHING = "Nothing to be done (all requested files are present and up to date)."


def record(event: str | None = None, message: str = "", level: int = logging.INFO, **facts: object):
    return logging.makeLogRecord({"event": event, "msg": message, "levelno": level, **facts})


@pytest.fixture(autouse=True)
def handed(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(watch, "REPAINTED", 0.02)
    monkeypatch.setattr(module, "REPAINTED", 0.02)
    hand_over(plan, Path("configs/x.yaml"))
    yield
    module._handed.clear()


def made(stream: io.StringIO, **options: bool) -> Sweep:
    terminal = Terminal(stream, {"TERM": "xterm", "NO_COLOR": "1"}, size=lambda: (100, 30))
    return Sweep(terminal, lambda record: f"own: {record.getMessage()}", **options)


def until(happened: Callable[[], object]) -> None:
    for _ in range(1000):
        if happened():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def whole(sweep: Sweep, plan: Plan, stream: io.StringIO) -> None:
    """A sweep of which one run diverges and another job breaks off."""
    first, second, *others = plan.runs
    for run in others:
        end_run(run)
    log = begin_run(second).log
    log.write_text("Traceback\nKeyError: 'x'\n")
    sweep.record(record(None, "Building DAG of jobs..."))
    sweep.record(record("run_info", "Job stats:\n a table"))
    for number, run in enumerate((first, second)):
        sweep.record(record("job_info", jobid=number, rule_name="student", wildcards={"run_id": run.id}))
        sweep.record(record("shellcmd", "amad-bench run"))
    sweep.record(record("job_info", jobid=2, rule_name="prepare", wildcards={"data_key": "scenes"}))
    sweep.record(record("job_started", jobs=[0, 1, 2]))
    until(lambda: "left" in stream.getvalue() or sweep._silent)
    end_run(first, status="diverged", reason="step 3")
    sweep.record(record("job_finished", job_id=0))
    sweep.record(record("job_finished", job_id=2))
    until(lambda: "diverged after" in stream.getvalue() or sweep._silent)
    sweep.record(record("error", "CalledProcessError in file Snakefile", logging.ERROR))
    failed = {"rule_name": "student", "log": [str(log)]}
    sweep.record(record("job_error", "Error", logging.ERROR, jobid=1, **failed))
    sweep.record(record("progress", done=1, total=2))
    sweep.record(record(None, "Complete log(s): /x/y.log"))
    Path("results/tables").mkdir()
    sweep.close()


def failure_of(plan: Plan) -> list[str]:
    second = plan.runs[1].id
    return [
        f"error: student {second} failed",
        f"  results/runs/{second}/log.txt ends so:",
        "  | Traceback",
        "  | KeyError: 'x'",
    ]


END = [
    "small: 5 planned, 3 done, 1 failed (diverged 1), 1 left (1 interrupted)",
    "[###################.....]  80 %",
    "",
    "done/all  +running  !failed",
    "         vlt5",
    "         vqa",
    "         scenes",
    "teacher  0/1 !1",
    "ce       1/2",
    "amad_kl  2/2",
    "",
    "tables   results/tables/*.csv, *.parquet",
    "log      /x/y.log (Snakemake's own)",
    "failures 1 run failed, 1 job broken off; why:",
    "         amad-bench failures --config configs/x.yaml",
    "after    0 s",
]


def test_a_log_has_plain_short_lines(plan: Plan) -> None:
    stream = io.StringIO()
    whole(made(stream), plan, stream)
    lines = stream.getvalue().splitlines()
    assert lines[0][7:].startswith("5 planned, 3 done, 0 failed, 2 running, 0 left; about ")
    assert set(lines[1:3]) == {
        f"{plan.runs[0].id}: diverged after 60 s: step 3",
        "prepare scenes: done after 0 s",
    }
    assert lines[3:] == [*failure_of(plan), *END]


def test_a_terminal_is_repainted_below_what_stays(plan: Plan) -> None:
    stream, shown = Tty(), Emulator(100)
    whole(made(stream), plan, stream)
    assert "being made: prepare scenes" in stream.getvalue()
    shown.feed(stream.getvalue())
    told = [f"{plan.runs[0].id}: diverged after 60 s: step 3", *failure_of(plan)]
    assert shown.rows == [*told, *END, ""]


def test_a_quiet_sweep_tells_errors_and_the_end(plan: Plan) -> None:
    stream = io.StringIO()
    whole(made(stream, silent=True), plan, stream)
    lines = stream.getvalue().splitlines()
    assert lines[: len(failure_of(plan))] == failure_of(plan)
    assert lines[-5:] == END[-5:]
    assert "prepare" not in stream.getvalue()


def test_nothing_to_do_still_says_where_everything_is(plan: Plan) -> None:
    stream = io.StringIO()
    for run in plan.runs:
        end_run(run)
    Path("paper").mkdir()
    Path("paper/main.pdf").touch()
    sweep = made(stream)
    sweep.record(record(None, NOTHING))
    sweep.close()
    lines = stream.getvalue().splitlines()
    assert lines[:2] == [f"own: {NOTHING}", "small: 5 planned, 5 done, 0 failed, 0 left"]
    assert lines[-2:] == ["paper    paper/main.pdf", "after    0 s"]
    assert "failures" not in stream.getvalue()


def test_a_dry_run_is_a_list_of_counts(plan: Plan) -> None:
    stream = io.StringIO()
    sweep = made(stream, dry_run=True)
    sweep.record(record("run_info", "Job stats:\n a table"))
    for number, run in enumerate(plan.runs[1:]):
        facts = {"wildcards": {"run_id": run.id}, "reason": "Missing output files: x"}
        sweep.record(record("job_info", jobid=number, rule_name="student", **facts))
    sweep.record(record("run_info", "Job stats:\n a table"))
    sweep.record(record(None, "This was a dry-run (flag -n)."))
    sweep.close()
    assert stream.getvalue().splitlines() == [
        "4 jobs would be done:",
        "  student       4  not begun",
        "Each job by itself: add --logger-amad-bench-off",
        "own: This was a dry-run (flag -n).",
    ]


def test_a_quiet_dry_run_has_snakemakes_numbers() -> None:
    stream = io.StringIO()
    sweep = made(stream, dry_run=True, silent=True)
    sweep.record(record("run_info", "Job stats"))
    sweep.close()
    assert stream.getvalue() == "own: Job stats\n"


def test_what_is_unknown_is_passed_on() -> None:
    stream = io.StringIO()
    sweep = made(stream, shell_commands=True)
    sweep.record(record(None, "something new"))
    sweep.record(record("an_event_to_come", "more"))
    sweep.record(record("shellcmd", "amad-bench run"))
    sweep.record(record(None, "Building DAG of jobs...", logging.WARNING))
    sweep.record(record("error", "a mistake in the Snakefile", logging.ERROR))
    sweep.close()
    assert stream.getvalue().splitlines() == [
        "own: something new",
        "own: more",
        "own: amad-bench run",
        "own: Building DAG of jobs...",
        "own: a mistake in the Snakefile",
    ]


def test_what_snakemake_says_again_and_again_is_told_once() -> None:
    stream = io.StringIO()
    sweep = made(stream)
    for text in ("Will exit", "Will exit", "Other", "Will exit"):
        sweep.record(record(None, text, logging.WARNING))
    sweep.close()
    assert stream.getvalue().splitlines()[:3] == ["own: Will exit", "own: Other", "own: Will exit"]


def test_a_view_that_fails_while_it_repaints_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(watch, "facts", broken)
    sweep = made(io.StringIO())
    sweep.record(record("job_started", jobs=[]))
    until(lambda: sweep.broken)
    assert str(sweep.broken) == "broken"


def test_a_job_that_was_stopped_is_no_error(plan: Plan) -> None:
    stream, run = io.StringIO(), plan.runs[0]
    log = begin_run(run).log
    log.write_text("a line\namad-bench: interrupted (SIGINT)\n")
    sweep = made(stream)
    sweep.record(record("job_info", jobid=1, rule_name="student", wildcards={"run_id": run.id}))
    sweep.record(record("job_error", "Error", logging.ERROR, jobid=1, rule_name="student", log=[str(log)]))
    sweep.close()
    assert stream.getvalue() == f"student {run.id}: interrupted\n"


def test_an_error_that_is_told_twice_is_one(plan: Plan) -> None:
    stream, run = io.StringIO(), plan.runs[0]
    sweep = made(stream)
    sweep.record(record("job_info", jobid=1, rule_name="student", wildcards={"run_id": run.id}))
    for _ in range(2):
        sweep.record(record("job_error", "Error", logging.ERROR, jobid=1, rule_name="student", log=[]))
    sweep.close()
    assert stream.getvalue().count("failed\n") == 1
