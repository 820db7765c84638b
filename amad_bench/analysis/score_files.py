"""The scores of the extra metrics of all runs, and signatures, checked."""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from amad_bench.plan.catalogue import METRICS
from amad_bench.plan.extra_metrics import by_reason, runs_measured_by
from amad_bench.plan.plan import Plan
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.results import ResultsFolder
from amad_bench.runtime.run_folder.predictions import predictions_sha256
from amad_bench.scoring.extra import read_extra


def extra_scores(
    plan: Plan, results: ResultsFolder, finished: Collection[str]
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """The extra scores that a plan asks for, and rows of the table `failures` for what is missing of them.

    finished: ids of the runs that have predictions. Scores that were made from other predictions than a
    run's folder holds now are left out.
    """
    known = read_extra(results)
    frames, failures = [], []
    for metric in plan.extra_metrics:
        task = METRICS[metric].task
        own = [run_id for run_id in runs_measured_by(metric, plan) if run_id in finished]
        sources, reasons = known.sources.get(metric, {}), known.unavailable.get(metric, {})
        of_metric = known.frame.loc[known.frame["metric"] == metric]
        with_rows = set(of_metric["run_id"])
        current = {
            run_id
            for run_id in own
            if run_id in sources and predictions_sha256(results.run(run_id).predictions) == sources[run_id]
        }
        frames.append(of_metric.loc[of_metric["run_id"].isin(current)])
        failed = {run_id: reasons[run_id] for run_id in own if run_id in current & reasons.keys()}
        failures += [_failure(task, "metric_unavailable", f"{metric}: {line}") for line in by_reason(failed)]
        if lacking := set(own) - (current & with_rows) - failed.keys():
            count = f"{len(lacking)} of {len(own)} {task} runs lack it"
            failures.append(_failure(task, "not_run", f"{metric}: {count}; run `amad-bench score`"))
    planned = {run.config.task for run in plan.runs}
    failures += [
        _failure(task, "metric_unavailable", f"{metric}: {reason}")
        for metric in plan.extra_metrics
        for task, reason in METRICS[metric].absent.items()
        if task in planned
    ]
    return pd.concat([known.frame.head(0), *frames]), failures


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
