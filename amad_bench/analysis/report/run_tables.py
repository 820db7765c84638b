"""The tables of the report about runs: what ended how, what was left out, what it took; plans and rivals."""

from typing import Any

import pandas as pd

from amad_bench.analysis.collect import SKIPPED
from amad_bench.analysis.report.columns import Column
from amad_bench.analysis.report.table import ReportTable, report_table
from amad_bench.analysis.settings import SETTING, TASK
from amad_bench.runtime.results import TableName


def failures(frame: pd.DataFrame) -> ReportTable:
    rows: Any = frame[frame["status"] != SKIPPED]
    columns = [
        Column("Run", "run_id", "code"),
        Column("Status", of=lambda rows: rows["status"].str.replace("_", " "), kind="word"),
        Column("Reason", "reason", "long"),
        Column("End of its log", "log_tail", "long"),
    ]
    title, says = "Runs and metrics without a result", "Each is counted where a mean or a contrast lacks it."
    return report_table(TableName.FAILURES, title, says, rows.drop(columns=TASK), columns)


def skipped(frame: pd.DataFrame) -> ReportTable:
    rows: Any = frame[frame["status"] == SKIPPED]
    return report_table(
        SKIPPED,
        "Combinations that are left out",
        "The config asks for them, and they cannot be trained.",
        rows,
        [Column("Combination", "run_id"), Column("Reason", "reason", "long")],
    )


def loss_failures(frame: pd.DataFrame) -> ReportTable:
    columns = [
        Column("Loss", "loss", "code"),
        Column("Planned", "planned", "number"),
        Column("Failed", "failed", "number"),
        Column("Share [95 %]", ("share", "ci_low", "ci_high"), "interval", 2, says="by Clopper and Pearson"),
    ]
    title = "Which losses fail"
    says = "A loss whose runs fail looks better than it is where failed runs are left out of its mean."
    return report_table(TableName.LOSS_FAILURES, title, says, frame, columns)


def runs(frame: pd.DataFrame) -> ReportTable:
    minutes = frame["wall_seconds"].astype("Float64") / 60
    columns = [
        Column("Run", "run_id", "code"),
        Column("Kind", "kind"),
        Column("Loss", "loss", "code"),
        Column("Replicate", "replicate", "number"),
        Column("Status", of=lambda rows: rows["status"].str.replace("_", " "), kind="word"),
        Column("Steps", "steps", "number"),
        Column(
            "Best", "best_step", "number", says="the step whose weights were scored, chosen by validation"
        ),
        Column("Minutes", "minutes", "number", 1),
        Column("Parameters", "parameters", "number"),
        Column("Device", "device"),
    ]
    rows: Any = frame.assign(minutes=minutes)
    title, says = "All runs", "A row per planned training."
    known = [column for column in columns if column.of or column.source in rows]  # no device before any run
    return report_table(TableName.RUNS, title, says, rows[[*TASK, *rows.columns.difference(SETTING)]], known)


def steps_to_score(frame: pd.DataFrame) -> ReportTable:
    columns = [
        Column("Kind", "kind"),
        Column("Loss", "loss", "code"),
        Column("Pre-training", "pretraining"),
        Column("Cut", "cut"),
        Column("Runs", "n_runs", "number"),
        Column("Missing", "n_failed", "number", says="planned runs that have not finished"),
        Column(
            "First step", "first_step", "number", says="at which the mean over replicates reaches that score"
        ),
        Column("Reached", "reached"),
        Column(
            "Score to reach", "fixed_score", "number", 3, says="the best of the runs without pre-training"
        ),
        Column("Best", "best_score", "number", 3),
    ]
    title = "Steps that pre-training saves"
    says = "On the validation score: the share of target tokens predicted right."
    return report_table(TableName.STEPS_TO_SCORE, title, says, frame, columns)


def power(frame: pd.DataFrame) -> ReportTable:
    columns = [
        Column("Test", "test"),
        Column("Seeds", "n_seeds", "number"),
        Column("Blocks", "n_blocks", "number"),
        Column("Shown", "shown_80", "number", 1, says="the smallest difference shown with 80 % power"),
        Column("Unit", "unit"),
        Column(
            "Floor", "floor_80", "number", 1, says="what no number of seeds goes below with this test set"
        ),
    ]
    title = "What more seeds or blocks would show"
    says = (
        "Planned from the variance of these runs: the smallest difference that a test shows with 80 % power."
    )
    return report_table(TableName.POWER, title, says, frame, columns)


def published(frame: pd.DataFrame) -> ReportTable:
    columns = [
        Column("Work", "work"),
        Column("Model", "model"),
        Column("Pre-training", "pretraining"),
        Column("Split", "split"),
        Column("Published", "value", "number", 1),
        Column("Here [95 %]", ("mean", "ci_low", "ci_high"), "interval", 1, says="teachers trained here"),
        Column("Heads here", "teacher_heads", "number"),
        Column("Pre-training here", "teacher_pretraining"),
        Column("Source", "source"),
    ]
    title, says = "Published numbers", "Beside ours where a setting is the published one."
    # `task` is a work's own name of it, `pretraining` the published model's: no axes of a setting here
    axes = frame.reindex(columns=["family", "dataset", "metric"])
    return report_table(TableName.PUBLISHED, title, says, frame, columns, axes)
