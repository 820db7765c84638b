"""The files with scores, checked: each run's own, and those of the extra metrics of all runs."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_bytes
from amad_bench.scoring.extra import ExtraScores, read_extra
from amad_bench.scoring.score_run import SCORE_COLUMNS


def run_scores(run_id: str, folder: Path, may_be_empty: bool) -> pd.DataFrame:
    """scores.parquet of a finished run; UserError when it is missing, broken or another run's."""
    path = folder / "scores.parquet"
    what_to_do = "delete the run's folder and run again"
    if not path.exists():
        raise UserError(f"{path}: the run is done but its scores are missing; {what_to_do}")
    try:
        scores = pd.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no readable parquet file ({error}); {what_to_do}") from None
    expected = {run_id} if not (may_be_empty and scores.empty) else set()
    if list(scores.columns) != SCORE_COLUMNS or set(scores["run_id"]) != expected:
        raise UserError(
            f"{path}: rows of run {run_id} with {', '.join(SCORE_COLUMNS)} were expected; {what_to_do}"
        )
    lists = [None if value is None else [float(item) for item in value] for value in scores["statistics"]]
    return scores.assign(statistics=pd.Series(lists, dtype=object, index=scores.index))


def extra_scores(
    results: Path, folders: Mapping[str, Path], asked: Sequence[str]
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """The extra scores of finished runs, and a row of the table `failures` per metric that some of them lack.

    folders: run id -> folder. asked: the metrics that all these runs should have. Scores that were made from
    other predictions than the folder holds now are left out.
    """
    known = read_extra(results) or ExtraScores(pd.DataFrame(columns=SCORE_COLUMNS), {}, {}, {})
    current = {
        (metric, run_id)
        for metric, sources in known.sources.items()
        for run_id, source in sources.items()
        if run_id in folders and _source(folders[run_id]) == source
    }
    failures = []
    for metric in asked:
        lacking = sum((metric, run_id) not in current for run_id in folders)
        if metric in known.unavailable:
            failures.append(("metric_unavailable", f"{metric}: {known.unavailable[metric]}"))
        elif lacking:
            reason = f"{metric}: asked for, {lacking} of {len(folders)} runs lack it; run `amad-bench score`"
            failures.append(("not_run", reason))
    kept = [key in current for key in zip(known.frame["metric"], known.frame["run_id"], strict=True)]
    rows = [{"run_id": "", "status": status, "reason": reason} for status, reason in failures]
    return known.frame.loc[kept], rows


def _source(folder: Path) -> str:
    """What extra scores name as their source."""
    return hashlib.sha256(read_bytes(folder / "predictions.jsonl")).hexdigest()
