"""The files with scores, checked: each run's own, and those of the extra metrics of all runs."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from amad_bench.analysis.settings import EXTRA_METRICS_TASK
from amad_bench.plan.grid import Plan
from amad_bench.runtime.errors import UserError
from amad_bench.scoring.extra import by_reason, no_scores, read_extra
from amad_bench.scoring.predictions_file import predictions_sha256
from amad_bench.scoring.score_run import SCORE_COLUMNS

METEOR = "METEOR"
_NO_TRANSLATIONS = (
    f"{METEOR}: not computed for translations: its paraphrase tables for German and French do not come with "
    "pycocoevalcap"
)


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
    plan: Plan, results: Path, finished: Collection[str]
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """The extra scores that a plan asks for, and rows of the table `failures` for what is missing of them.

    finished: ids of the runs that have predictions. Extra metrics are for captions; scores that were made
    from other predictions than a run's folder holds now are left out.
    """
    captioning = [
        run.id for run in plan.runs if run.id in finished and run.config["task"] == EXTRA_METRICS_TASK
    ]
    known = read_extra(results) or no_scores()
    frames, failures = [], []
    for metric in plan.extra_metrics:
        sources, reasons = known.sources.get(metric, {}), known.unavailable.get(metric, {})
        of_metric = known.frame.loc[known.frame["metric"] == metric]
        with_rows = set(of_metric["run_id"])
        current = {
            run_id
            for run_id in captioning
            if run_id in sources and predictions_sha256(results / "runs" / run_id) == sources[run_id]
        }
        frames.append(of_metric.loc[of_metric["run_id"].isin(current)])
        failed = {run_id: reasons[run_id] for run_id in captioning if run_id in current & reasons.keys()}
        failures += [("metric_unavailable", f"{metric}: {line}") for line in by_reason(failed)]
        if lacking := set(captioning) - (current & with_rows) - failed.keys():
            count = f"{len(lacking)} of {len(captioning)} captioning runs lack it"
            failures.append(("not_run", f"{metric}: {count}; run `amad-bench score`"))
    rows = [_failure(EXTRA_METRICS_TASK, *failure) for failure in failures]
    if METEOR in plan.extra_metrics and any(run.config["task"] == "translation" for run in plan.runs):
        rows.append(_failure("translation", "metric_unavailable", _NO_TRANSLATIONS))
    return pd.concat([known.frame.head(0), *frames]), rows


def _failure(task: str, status: str, reason: str) -> dict[str, Any]:
    return {"run_id": "", "task": task, "status": status, "reason": reason}


def refuse_mixed_signatures(signatures: Mapping[str, Mapping[str, str]]) -> None:
    """UserError when two runs (run id -> metric -> signature) computed one metric in two ways."""
    first: dict[str, tuple[str, str]] = {}
    for run_id, own in signatures.items():
        for metric, signature in own.items():
            other, expected = first.setdefault(metric, (run_id, signature))
            if signature != expected:
                raise UserError(
                    f"{metric} of run {run_id} is {signature}, that of run {other} is {expected}; run "
                    "`amad-bench score --run ID` for the older of them, or delete its folder and run it again"
                )
