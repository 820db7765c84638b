"""Runs that failed or are missing, and steps to a score, as readers see them."""

from typing import Any

import pandas as pd

from amad_bench.analysis.learning_curves import SHOWN_GROUP
from amad_bench.analysis.printed.axes import counted, data_name, heads_of, sentence
from amad_bench.analysis.printed.numbers import points, share
from amad_bench.analysis.printed.table import NOTHING, PrintedTable
from amad_bench.analysis.run_columns import UNCUT
from amad_bench.analysis.settings import grouped
from amad_bench.plan import catalogue

SAME_REASON = 3  # runs that are named one by one for a reason that they share


def failures_tables(failures: pd.DataFrame) -> list[PrintedTable]:
    """From the table `failures`: a row per reason."""
    cells = []
    for values, rows in grouped(failures.fillna({"run_id": "", "reason": ""}), ["status", "reason"]):
        named = [text for text in rows["run_id"][:SAME_REASON] if text]
        others = len(rows) - len(named)
        which = ", ".join(named) + (f" and {others} more" if named and others else "")
        cells.append((which or NOTHING, str(len(rows)), values["status"].replace("_", " "), values["reason"]))
    table = PrintedTable(
        title="Planned runs and metrics without a result, and combinations that are skipped",
        columns=("Which", "Number", "Status", "Reason"),
        numbers=(False, True, False, False),
        rows=tuple(cells),
    )
    return [table] if cells else []


def loss_failures_tables(counts: pd.DataFrame) -> list[PrintedTable]:
    """From the table `loss_failures`: one table, of the losses with failed runs."""
    some: Any = counts[counts["failed"] > 0]
    records = (catalogue.FAMILIES, catalogue.TASKS)
    cells = [
        (
            *(known[row[axis]].label for axis, known in zip(("family", "task"), records, strict=True)),
            row["loss"],
            f"{row['failed']} of {row['ended']}",
            share(row["share"]),
            f"{share(row['ci_low'])} to {share(row['ci_high'])}",
        )
        for row in some.to_dict("records")
    ]
    table = PrintedTable(
        title="Failed runs by loss",
        columns=("Family", "Task", "Loss", "Failed", "Share", "95 % interval"),
        numbers=(False, False, False, True, True, True),
        rows=tuple(cells),
        note="Of runs that ended. Interval of Clopper and Pearson. Losses without a failed run are left out.",
    )
    return [table] if cells else []


def steps_tables(steps: pd.DataFrame) -> list[PrintedTable]:
    """From the table `steps_to_score`: a table per family, task and data set."""
    found = []
    for _, rows in grouped(steps, ["family", "task", "dataset"]):
        cells = []
        for group, own in grouped(rows, SHOWN_GROUP):
            who = _who(group)
            cells += [(who, *_step(row)) for row in own.to_dict("records")]
        first = rows.iloc[0]
        found.append(
            PrintedTable(
                title=f"{data_name(first)}: steps to the best validation score without pre-training",
                columns=(
                    "Model",
                    "Score to reach",
                    "Pre-training",
                    "Cut",
                    "Runs",
                    "Failed",
                    "First step",
                    "Best",
                ),
                numbers=(False, True, False, False, True, True, True, True),
                rows=tuple(cells),
                note=sentence(
                    [f"{counted(first['examples'])} training examples", first["limit"], first["inputs"]]
                ),
            )
        )
    return found


def _who(group: dict[str, Any]) -> str:
    """Words for what all runs of a group are, e.g. "ce, 8 → 2 heads"."""
    if group["kind"] == "teacher":
        parts = [f"teacher, {group['heads']} heads"]
    else:
        parts = [f"{group['loss']}, {heads_of(group['teacher_heads'], group['heads'], group['student'])}"]
    parts += [f"of the block {group['block']} alone"] if pd.notna(group["block"]) else []
    taught = group["teacher_pretraining"]
    parts += [f"teacher pre-trained on {taught}"] if pd.notna(taught) and taught != "none" else []
    return ", ".join(parts)


def _step(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        points(row["fixed_score"], 3),
        row["pretraining"],
        NOTHING if row["cut"] in UNCUT else row["cut"],
        str(row["n_runs"]),
        str(row["n_failed"]),
        str(row["first_step"]) if row["reached"] == "yes" else row["reached"],
        points(row["best_score"], 3),
    )
