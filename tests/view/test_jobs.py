"""Snakemake's records in our words."""

import logging
from pathlib import Path

import pytest

from amad_bench.plan.standing import standing
from amad_bench.view.jobs import TAIL, Job, dry_run, failure, is_noise, without_ids
from tests.run_folders import begin_run


def record(**facts: object) -> logging.LogRecord:
    return logging.makeLogRecord(facts)


def test_a_failed_job_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("".join(f"line {number}\n" for number in range(100)))
    assert failure(record(log=["log.txt"]), tmp_path) == [
        "  log.txt ends so:",
        *(f"  | line {number}" for number in range(100 - TAIL, 100)),
    ]


def test_logs_that_tell_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    assert failure(record(log=["empty.txt", "absent.txt"]), tmp_path) == [
        "  empty.txt ends so:",
        "  | (it is empty)",
        "  absent.txt ends so:",
        "  | (No such file or directory)",
    ]


@pytest.mark.parametrize(
    ("message", "noise"),
    [
        ("Building DAG of jobs...", True),
        ("Select jobs to execute...", True),
        ("None", True),
        (" \n", True),
        ("Nothing to be done (all requested files are present and up to date).", False),
        ("Will exit after finishing currently running jobs (scheduler).", False),
        ("a message of a Snakemake to come", False),
    ],
)
def test_what_snakemake_says_at_every_start_is_noise(message: str, noise: bool) -> None:
    assert is_noise(message) is noise


def test_a_dry_run_counts_by_rule_and_reason(plan, results) -> None:
    teacher, *students = plan.runs
    begin_run(students[0], results)
    jobs = [
        *(Job("student", {"run_id": run.id}, "Missing output files: x") for run in students),
        Job("prepare", {"data_key": "a"}, "Missing output files: a.json, b; c.json"),
        Job("teacher", {"run_id": teacher.id}, "Missing output files: x"),
        Job("collect", {}, "Input files updated by another job: x"),
    ]
    assert dry_run(jobs, standing(plan, results)) == [
        "7 jobs would be done:",
        "  prepare       1  missing output files",
        "  teacher       1  not begun",
        "  student       3  not begun",
        "                1  was begun, is not finished",
        "  collect       1  input files updated by another job",
    ]


def test_a_dry_run_stays_short() -> None:
    jobs = [Job(f"rule{number}", {}, "forced") for number in range(100)]
    lines = dry_run(jobs, {})
    assert len(lines) == 31
    assert lines[-1] == "  and 71 reasons more"


def test_reasons_are_equal_but_for_the_run() -> None:
    assert without_ids("results/runs/a-b-1/x is missing, for c-d", {"a-b-1", "c-d"}) == (
        "results/runs/RUN/x is missing, for RUN"
    )
