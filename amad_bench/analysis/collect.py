"""The results of all planned runs as three tables; a run that is missing or failed is a row, never a gap."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_json

SCORE_COLUMNS = ["run_id", "split", "metric", "example_id", "cluster_id", "value", "statistics"]
FAILURE_COLUMNS = [
    "run_id",
    "kind",
    "family",
    "task",
    "dataset",
    "loss",
    "replicate",
    "status",
    "reason",
    "log_tail",
]
MEASURED = {  # of status.json, with the type of the column
    "wall_seconds": "Float64",
    "train_seconds": "Float64",
    "peak_memory_mib": "Float64",
    "parameters": "Int64",
    "extra_params": "Int64",
    "steps": "Int64",
    "best_step": "Int64",
}
NOT_RUN = "not_run"
SCORED = ("done", "metric_unavailable")  # the second has the scores of its other metrics


class PlannedRun(Protocol):
    """What `collect` needs to know of a run of the plan."""

    @property
    def id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def teacher_id(self) -> str | None: ...


@dataclass(frozen=True)
class Tables:
    """runs: a row per planned run; scores: per run, split, metric and example; failures: per run not done."""

    runs: pd.DataFrame
    scores: pd.DataFrame
    failures: pd.DataFrame


def collect(plan: Iterable[PlannedRun], results: Path) -> Tables:
    """Read `results`/runs/<id>/ of every planned run.

    UserError when a run there is broken or was made from another config, method version or data than planned.
    """
    rows, frames = [], []
    for run in plan:
        folder = results / "runs" / run.id
        status, provenance = _outcome(run, folder)
        rows.append(_axes(run) | status | provenance)
        if status["status"] in SCORED:
            frames.append(_scores(run.id, folder))

    if not rows:
        raise UserError(
            "the plan has no runs, so there is nothing to collect; see the skipped cells of the plan"
        )
    runs = pd.DataFrame(rows)
    runs = runs.astype(
        {
            "teacher_heads": "Int64",
            "student_heads": "Int64",
            "replicate": "Int64",
            "logit_temperature": "Float64",
            **MEASURED,
        }
    )
    failures = runs.loc[runs["status"] != "done", FAILURE_COLUMNS].reset_index(drop=True)
    scores = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=SCORE_COLUMNS)
    scores = scores.sort_values(["run_id", "split", "metric", "example_id"], kind="stable", ignore_index=True)
    return Tables(runs.drop(columns="log_tail"), scores, failures)


def _axes(run: PlannedRun) -> dict[str, Any]:
    config, model = run.config, run.config["model"]
    is_teacher = run.kind == "teacher"
    return {
        "run_id": run.id,
        "kind": run.kind,
        "teacher_id": run.teacher_id,
        "family": config["family"],
        "task": config["task"],
        "dataset": config["dataset"]["name"],
        "limit": describe_limit(config["dataset"]["limit"]),
        "examples": str(config["training"]["examples"]),
        "inputs": describe_inputs(config["inputs"]),
        "teacher_heads": model["heads"] if is_teacher else config["teacher"]["heads"],
        "student_heads": None if is_teacher else model["heads"],
        "fix": config["fix"],
        "teacher_pretraining": config["teacher_pretraining"],
        "pretraining": config["pretraining"],
        "loss": config["loss"]["label"],
        "loss_name": config["loss"]["name"],
        "loss_options": _compact(config["loss"]["options"]),
        "loss_weights": _compact(config["loss"]["weights"]),
        "logit_temperature": config["loss"]["logit_temperature"],
        "sites": _compact(config["loss"]["sites"]),
        "layer_map": _compact(config["loss"]["layer_map"]),
        "replicate": config["replicate"],
        "model": _compact(model),
        "training": _compact(config["training"]),
        "decoding": _compact(config["decoding"]),
        "versions": _compact(config["versions"]),
        "data_hash": config["dataset"]["hash"],
    }


def describe_limit(limit: Mapping[str, int] | None) -> str:
    """How much of each split exists for the runs; their training may use less (`examples`)."""
    if limit is None:
        return "no data limit"
    return "limited to " + ", ".join(f"{split} {count}" for split, count in limit.items())


def describe_inputs(inputs: Mapping[str, Any] | None) -> str:
    """The features of an image that the model sees, e.g. "pixels: size 48, patch 8"."""
    if inputs is None:
        return "text only"
    details = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in inputs.items() if key != "kind")
    return f"{inputs['kind']}: {details}"


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _outcome(run: PlannedRun, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns from status.json and the provenance from run.json."""
    if not (folder / "run.json").exists():
        return _not_run("never started"), {}
    written = read_json(folder / "run.json")
    _refuse_mixing(run, folder, written)
    if not (folder / "status.json").exists():
        return _not_run("started, never finished"), dict(written["provenance"])
    status = read_json(folder / "status.json")
    known = {key: status.get(key) for key in ("status", "reason", *MEASURED)}
    return known | {"log_tail": "\n".join(status.get("log_tail", []))}, dict(written["provenance"])


def _not_run(reason: str) -> dict[str, Any]:
    return {"status": NOT_RUN, "reason": reason, **dict.fromkeys(MEASURED), "log_tail": ""}


def _refuse_mixing(run: PlannedRun, folder: Path, written: Mapping[str, Any]) -> None:
    planned = json.loads(json.dumps(run.config))
    difference = _first_difference(planned, written.get("config"), "")
    if difference:
        raise UserError(
            f"run {run.id}: {folder / 'run.json'} does not belong to this plan ({difference}); "
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


def _scores(run_id: str, folder: Path) -> pd.DataFrame:
    path = folder / "scores.parquet"
    what_to_do = "delete the run's folder and run again"
    if not path.exists():
        raise UserError(f"{path}: the run is done but its scores are missing; {what_to_do}")
    try:
        scores = pd.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no readable parquet file ({error}); {what_to_do}") from None
    if list(scores.columns) != SCORE_COLUMNS or scores.empty or set(scores["run_id"]) != {run_id}:
        raise UserError(
            f"{path}: rows of run {run_id} with {', '.join(SCORE_COLUMNS)} were expected; {what_to_do}"
        )
    lists = [None if value is None else [float(item) for item in value] for value in scores["statistics"]]
    return scores.assign(statistics=pd.Series(lists, dtype=object, index=scores.index))
