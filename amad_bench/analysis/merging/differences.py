"""Differences between copies of one run, a row each: for the table `merged`, and as lines for people."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from amad_bench.analysis.machines import machine_of
from amad_bench.analysis.merging.choice import Choice
from amad_bench.analysis.merging.sources import Copy
from amad_bench.analysis.scores import ScoreBook
from amad_bench.analysis.settings import grouped
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.runtime.run_folder.run_record import RunRecord
from amad_bench.runtime.run_folder.scores import read_scores

MERGED_COLUMNS = [
    *("run_id", "kind", "loss", "replicate", "kept", "other", "what", "split", "metric"),
    *("n_examples", "n_different", "kept_score", "other_score", "kept_status", "other_status"),
    *("why", "kept_machine", "other_machine", "n_taught"),
]
STATUS, SCORES, EXAMPLES, TRAINING = "status", "scores", "examples", "training"


def differences(plan: Plan, choices: Mapping[str, Choice]) -> pd.DataFrame:
    """A row for each thing in which a further copy of a run differs from the one that stays.

    what: its status; its scores, by split and metric; the examples that were scored; of a pre-training, which
    has no scores, the log of its training. kept_score, other_score: in points. why: the first copy does
    not stay. n_taught: runs that stay, and learnt from or started from that other copy.
    """
    rows = []
    for run in plan.runs:
        if (choice := choices.get(run.id)) is None:
            continue
        for other in choice.others:
            found = list(_between(run, choice.kept, other))
            shared = _shared(run, choice, other, _taught(plan, choices, run, other)) if found else {}
            rows += [shared | row for row in found]
    table = pd.DataFrame(rows, columns=MERGED_COLUMNS)
    counts = dict.fromkeys(("replicate", "n_examples", "n_different", "n_taught"), "Int64")
    return table.astype({**counts, "kept_score": "float64", "other_score": "float64"})


def difference_lines(table: pd.DataFrame) -> list[str]:
    """A line for each copy that differs: where it stands, which one stays, and the first difference."""
    lines = []
    for _, group in grouped(table, ["run_id", "other"]):
        rows = group.to_dict("records")
        row, further = rows[0], f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        why = f", since {row['why']}" if row["why"] else ""
        taught = f"; {row['n_taught']} runs of these results were taught by it" if row["n_taught"] else ""
        stays = f"{row['run_id']}: {row['kept']} stays{why}; {row['other']} differs: "
        lines.append(f"{stays}{_phrase(row)}{further}{taught}")
    return lines


def _phrase(row: Mapping[Any, Any]) -> str:
    if row["what"] == STATUS:
        return f"{row['kept_status']} | {row['other_status']}"
    if row["what"] == TRAINING:
        return "the log of its training"
    where = f"{row['metric']} on {row['split']}"
    if row["what"] == EXAMPLES:
        return f"{where} of other examples"
    of_examples = f"{row['n_different']} of {row['n_examples']} examples"
    return f"{where} {row['kept_score']:.4g} | {row['other_score']:.4g} ({of_examples})"


def _shared(run: Run, choice: Choice, other: Copy, taught: int) -> dict[str, Any]:
    """The columns that all rows of one copy have."""
    records = [RunRecord.read(copy.folder.record).provenance for copy in (choice.kept, other)]
    machines = [machine_of(record) for record in records]
    return {
        "run_id": run.id,
        "kind": run.kind,
        "loss": run.config.loss.label,
        "replicate": run.config.replicate,
        "kept": str(choice.kept.source.path),
        "other": str(other.source.path),
        "kept_status": choice.kept.own.state,
        "other_status": other.own.state,
        "why": choice.why,
        "kept_machine": machines[0],
        "other_machine": machines[1],
        "n_taught": taught,
    }


def _taught(plan: Plan, choices: Mapping[str, Choice], needed: Run, other: Copy) -> int:
    """Number of runs that stay and were made beside that copy of a run that they need."""
    return sum(
        choices[run.id].kept.source is other.source
        for run in plan.runs
        if run.id in choices and needed.id in run.prerequisites
    )


def _between(run: Run, kept: Copy, other: Copy) -> Iterator[dict[str, Any]]:
    if kept.own.state != other.own.state:
        yield {"what": STATUS}
    if kept.own.usable and other.own.usable and run.kind != "pretrain":
        yield from _scores_between(run, kept, other)
    if run.kind == "pretrain" and kept.own.state == other.own.state and _logs_differ(kept, other):
        yield {"what": TRAINING}


def _logs_differ(kept: Copy, other: Copy) -> bool:
    logs = [copy.folder.steps for copy in (kept, other)]
    there = [path.read_bytes() if path.exists() else b"" for path in logs]
    return there[0] != there[1]


def _scores_between(run: Run, kept: Copy, other: Copy) -> Iterator[dict[str, Any]]:
    paths = [copy.folder.scores for copy in (kept, other)]
    if paths[0].read_bytes() == paths[1].read_bytes():
        return
    frames = [read_scores(path, run.id, may_be_empty=True) for path in paths]
    books = [ScoreBook(frame) for frame in frames]
    keys = [set(zip(frame["split"], frame["metric"], strict=True)) for frame in frames]
    for split, metric in sorted(keys[0] & keys[1]):  # a metric that one lacks is its status
        first, second = (book.matrix([run.id], metric, split) for book in books)
        row = {"split": split, "metric": metric, "n_examples": len(first.examples)}
        if not first.examples.equals(second.examples) or not np.array_equal(first.clusters, second.clusters):
            yield row | {"what": EXAMPLES}
            continue
        differ_N = (first.values[0] != second.values[0]).reshape(len(first.examples), -1).any(axis=1)
        if differ_N.any():
            scores = {"kept_score": first.scores_S()[0], "other_score": second.scores_S()[0]}
            yield row | {"what": SCORES, "n_different": int(differ_N.sum())} | scores
