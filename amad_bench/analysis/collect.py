"""The results of all planned runs as tables; a run that is missing or failed is a row, never a gap."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from amad_bench.analysis.example_groups import example_groups
from amad_bench.analysis.learning_curves import learning_curves
from amad_bench.analysis.run_columns import DATA_FACTS, SIZES, compact, data_facts, run_columns
from amad_bench.analysis.score_files import extra_scores, refuse_mixed_signatures
from amad_bench.analysis.settings import TASK
from amad_bench.plan.plan import Plan, Skip
from amad_bench.plan.run import Run
from amad_bench.runtime.errors import USABLE, UserError
from amad_bench.runtime.results import ResultsFolder
from amad_bench.runtime.run_folder.folder import RunFolder
from amad_bench.runtime.run_folder.run_record import RunRecord
from amad_bench.runtime.run_folder.scores import SCORE_COLUMNS, read_scores
from amad_bench.runtime.run_folder.status import PHASES, Status
from amad_bench.runtime.run_folder.steps import Validation, read_validations

FAILURE_COLUMNS = ["run_id", "kind", *TASK, "loss", "replicate", "status", "reason", "log_tail"]
_COUNTED = ("parameters", "extra_params", "flops_per_example", "steps", "best_step", "continued")
MEASURED = {  # of status.json, with the type of the column
    **dict.fromkeys(("wall_seconds", "train_seconds", "peak_memory_mib", "energy_joules"), "Float64"),
    **dict.fromkeys(_COUNTED, "Int64"),
}
SECONDS = {f"seconds_{phase}": "Float64" for phase in PHASES}  # shares of wall_seconds, by phase
_NUMBERS = ("teacher_heads", "student_heads", "replicate", "vocabulary", "answers", *SIZES)
STARTED = ("head_map", "start_weights")  # of status.json: what a model was made of
NOT_RUN = "not_run"
SKIPPED = "skipped"  # a combination that cannot be trained


@dataclass(frozen=True)
class Tables:
    """Everything that is known of a plan's runs.

    runs: a row per planned run; scores: per run, split, metric and example.
    examples: per test example and group that it belongs to (a question's answer type, say).
    learning_curves: per validation during the training of a teacher or student.
    failures: per run that is not done; per extra metric that is asked for and has no scores; and, with the
    status "skipped", per combination that is left out.
    """

    runs: pd.DataFrame
    scores: pd.DataFrame
    examples: pd.DataFrame
    learning_curves: pd.DataFrame
    failures: pd.DataFrame


def collect(plan: Plan, results: Path) -> Tables:
    """Read `results`/runs/<id>/ of every planned run, and `results`/extra_scores.{parquet,json}.

    UserError when a run there is broken or was made from another config, method version or data than planned.
    """
    source = ResultsFolder(results)
    rows, frames, usable = [], [], []
    validated: dict[str, list[Validation]] = {}
    for run in plan.runs:
        folder = source.run(run.id)
        status, provenance = _outcome(run, folder)
        rows.append(run_columns(run) | status | provenance)
        if run.kind == "pretrain" or status["status"] == NOT_RUN:
            continue  # a pre-training answers no test, and is validated on other targets
        validated[run.id] = read_validations(folder.steps, required=status["status"] in USABLE)
        if status["status"] in USABLE:
            frames.append(read_scores(folder.scores, run.id, may_be_empty=status["status"] != "done"))
            usable.append((run, folder))
    extra, unscored = extra_scores(plan, source, [run.id for run, _ in usable])
    refuse_mixed_signatures({row["run_id"]: json.loads(row["signatures"]) for row in rows})

    types = {**dict.fromkeys(_NUMBERS, "Int64"), "logit_temperature": "Float64", **MEASURED, **SECONDS}
    runs = pd.DataFrame(rows).astype(types)
    failed = [row for row in rows if row["status"] != "done"]
    skipped = [_skipped(skip) for skip in plan.skipped]
    failures = pd.DataFrame([*failed, *unscored, *skipped], columns=FAILURE_COLUMNS)
    failures = failures.astype({"replicate": "Int64"})
    filled = [frame for frame in (*frames, extra) if not frame.empty]
    scores = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=SCORE_COLUMNS)
    scores = scores.sort_values(["run_id", "split", "metric", "example_id"], kind="stable", ignore_index=True)
    curves = learning_curves(runs, validated)
    return Tables(runs.drop(columns="log_tail"), scores, example_groups(usable), curves, failures)


def _skipped(skip: Skip) -> dict[str, Any]:
    """Row of the table `failures`."""
    axes = {"family": skip.family, "task": skip.task, "dataset": skip.dataset}
    return {"run_id": skip.setting, "status": SKIPPED, "reason": skip.reason} | axes


def _outcome(run: Run, folder: RunFolder) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns from status.json and the provenance from run.json."""
    if not folder.record.exists():
        return _not_run("never started"), {}
    written = RunRecord.read(folder.record)
    _refuse_mixing(run, folder, written.config)
    if not folder.status.exists():
        return _not_run("started, never finished"), written.provenance
    status = Status.read(folder.status)
    known = {key: getattr(status, key, None) for key in ("status", "reason", *MEASURED)}
    known |= {f"seconds_{phase}": (status.seconds or {}).get(phase) for phase in PHASES}
    known["signatures"] = compact(status.signatures)
    started = {key: getattr(status, key) for key in STARTED}
    known |= {key: None if value is None else compact(value) for key, value in started.items()}
    known |= data_facts(status.data or {})  # None when the run failed before it had its data
    return known | {"log_tail": "\n".join(status.log_tail)}, written.provenance


def _not_run(reason: str) -> dict[str, Any]:
    unknown = dict.fromkeys((*MEASURED, *SECONDS, *STARTED, *DATA_FACTS))
    return {"status": NOT_RUN, "reason": reason, **unknown, "signatures": "{}", "log_tail": ""}


def _refuse_mixing(run: Run, folder: RunFolder, written: Mapping[str, Any]) -> None:
    planned = run.config.canonical()
    difference = _first_difference(planned, written, "")
    if difference:
        raise UserError(
            f"run {run.id}: {folder.record} does not belong to this plan ({difference}); "
            "delete that folder and run again, so that no table mixes versions"
        )


def _first_difference(planned: Any, found: Any, path: str) -> str:
    """ "key.path is 2, the plan says 1" for the first difference of two JSON values, or ""."""
    if isinstance(planned, dict) and isinstance(found, dict):
        for key in sorted(planned.keys() | found.keys()):
            inner = f"{path}.{key}" if path else key
            if key not in found:
                return f"{inner} is missing, the plan says {planned[key]!r}"
            if key not in planned:
                return f"{inner} is {found[key]!r}, unknown to the plan"
            if difference := _first_difference(planned[key], found[key], inner):
                return difference
        return ""
    return "" if planned == found else f"{path or 'config'} is {found!r}, the plan says {planned!r}"
