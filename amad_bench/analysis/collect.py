"""The results of all planned runs as tables; a run that is missing or failed is a row, never a gap."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from amad_bench.analysis.alignments import alignments_table
from amad_bench.analysis.collected import Collected
from amad_bench.analysis.example_groups import example_groups
from amad_bench.analysis.learning_curves import learning_curves
from amad_bench.analysis.run_columns import DATA_FACTS, SIZES, compact, data_facts, run_columns
from amad_bench.analysis.score_files import extra_scores, refuse_mixed_signatures
from amad_bench.analysis.settings import TASK
from amad_bench.plan.agreement import made_of
from amad_bench.plan.plan import Plan, Skip
from amad_bench.plan.standing import RUNNING, WAITING, Standing, standing
from amad_bench.runtime.results import ResultsFolder
from amad_bench.runtime.run_folder.folder import RunFolder
from amad_bench.runtime.run_folder.run_record import RunRecord
from amad_bench.runtime.run_folder.scores import SCORE_COLUMNS, read_scores
from amad_bench.runtime.run_folder.status import PHASES
from amad_bench.runtime.run_folder.steps import Validation, read_validations

FAILURE_COLUMNS = ["run_id", "kind", *TASK, "loss", "replicate", "status", "reason", "log_tail"]
_COUNTED = (
    "parameters",
    "extra_params",
    "flops_per_example",
    "steps",
    "best_step",
    "continued",
    "micro_batch",
    "ranks",
)
MEASURED = {  # of status.json, with the type of the column
    **dict.fromkeys(("wall_seconds", "train_seconds", "peak_memory_mib", "energy_joules"), "Float64"),
    **dict.fromkeys(_COUNTED, "Int64"),
    "micro_batch_halved": "boolean",
    "compiled": "boolean",
}
SECONDS = {f"seconds_{phase}": "Float64" for phase in PHASES}  # shares of wall_seconds, by phase
_NUMBERS = ("teacher_heads", "student_heads", "replicate", "vocabulary", "answers", *SIZES)
STARTED = ("head_map", "start_weights")  # of status.json: what a model was made of
NOT_RUN = "not_run"
SKIPPED = "skipped"  # a combination that cannot be trained


def collect(plan: Plan, results: Path) -> Collected:
    """Read `results`/runs/<id>/ of every planned run, and `results`/extra_scores.{parquet,json}.

    A run that is left is a row without scores, whatever its folder holds: what another config, method version
    or data made is not mixed in. UserError when a file of a run that has ended is broken.
    """
    source = ResultsFolder(results)
    standings = standing(plan, source)
    stamp = made_of(standings, source)  # before anything is read: what ends meanwhile is for the next time
    rows, frames, usable = [], [], []
    validated: dict[str, list[Validation]] = {}
    for run in plan.runs:
        folder, own = source.run(run.id), standings[run.id]
        rows.append(run_columns(run) | _outcome(own) | _provenance(folder, own))
        if run.kind == "pretrain" or own.left:
            continue  # a pre-training answers no test, and is validated on other targets
        validated[run.id] = read_validations(folder.steps, required=own.usable)
        if own.usable:
            frames.append(read_scores(folder.scores, run.id, may_be_empty=own.state != "done"))
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
    return Collected(
        plan,
        runs=runs.drop(columns="log_tail"),
        scores=scores,
        examples=example_groups(usable),
        learning_curves=learning_curves(runs, validated),
        alignments=alignments_table(
            runs, {run.id: folder.steps for run, folder in usable if run.kind == "student"}
        ),
        failures=failures,
        made_of=stamp,
    )


def _skipped(skip: Skip) -> dict[str, Any]:
    """Row of the table `failures`."""
    axes = {"family": skip.family, "task": skip.task, "dataset": skip.dataset}
    return {"run_id": skip.setting, "status": SKIPPED, "reason": skip.reason} | axes


def _outcome(own: Standing) -> dict[str, Any]:
    """Columns from status.json; of a run that is left nothing is known but that."""
    status = own.status
    if status is None:
        state = NOT_RUN if own.state == WAITING else own.state
        unknown = dict.fromkeys((*MEASURED, *SECONDS, *STARTED, *DATA_FACTS))
        reason = own.reason or "never started"
        return {"status": state, "reason": reason, **unknown, "signatures": "{}", "log_tail": ""}
    known = {key: getattr(status, key) for key in ("status", "reason", *MEASURED)}
    known |= {f"seconds_{phase}": (status.seconds or {}).get(phase) for phase in PHASES}
    known["signatures"] = compact(status.signatures)
    started = {key: getattr(status, key) for key in STARTED}
    known |= {key: None if value is None else compact(value) for key, value in started.items()}
    known |= data_facts(status.data or {})  # None when the run failed before it had its data
    return known | {"log_tail": "\n".join(status.log_tail)}


def _provenance(folder: RunFolder, own: Standing) -> dict[str, Any]:
    """Provenance of a run that has ended or was interrupted; other folders may be another config's."""
    return {} if own.state in (WAITING, RUNNING) else RunRecord.read(folder.record).provenance
