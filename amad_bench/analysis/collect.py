"""The results of all planned runs as four tables; a run that is missing or failed is a row, never a gap."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from amad_bench.analysis.example_groups import example_groups
from amad_bench.analysis.score_files import extra_scores, refuse_mixed_signatures, run_scores
from amad_bench.data.overlap import describe_overlap
from amad_bench.plan.grid import Plan, Skip
from amad_bench.plan.run import Run
from amad_bench.runtime.errors import USABLE, UserError
from amad_bench.runtime.files import read_json
from amad_bench.runtime.status_file import read_status
from amad_bench.scoring.score_run import SCORE_COLUMNS

FAILURE_COLUMNS = [
    "run_id",
    "kind",
    "family",
    "task",
    "dataset",
    "limit",
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
DATA_FACTS = (  # of status.json["data"]
    "features",
    "image_overlap",
    "tokenizer_sha256",
    "split_examples",
    "with_image",
    "left_out",
    "answers",
)
NOT_RUN = "not_run"
SHORT_HASH = 8  # digits of a hash that tables show
SKIPPED = "skipped"  # a combination that cannot be trained


@dataclass(frozen=True)
class Tables:
    """runs: a row per planned run; scores: per run, split, metric and example.

    examples: per test example and group that it belongs to (a question's answer type, say).
    failures: per run that is not done; per extra metric that is asked for and has no scores; and, with the
    status "skipped", per combination that is left out.
    """

    runs: pd.DataFrame
    scores: pd.DataFrame
    examples: pd.DataFrame
    failures: pd.DataFrame


def collect(plan: Plan, results: Path) -> Tables:
    """Read `results`/runs/<id>/ of every planned run, and `results`/extra_scores.{parquet,json}.

    UserError when a run there is broken or was made from another config, method version or data than planned.
    """
    rows, frames, usable = [], [], []
    for run in plan.runs:
        folder = results / "runs" / run.id
        status, provenance = _outcome(run, folder)
        rows.append(_axes(run) | status | provenance)
        if status["status"] in USABLE:
            frames.append(run_scores(run.id, folder, may_be_empty=status["status"] != "done"))
            usable.append((run, folder))
    extra, unscored = extra_scores(plan, results, [run.id for run, _ in usable])
    refuse_mixed_signatures({row["run_id"]: json.loads(row["signatures"]) for row in rows})

    runs = pd.DataFrame(rows)
    runs = runs.astype(
        {
            "teacher_heads": "Int64",
            "student_heads": "Int64",
            "replicate": "Int64",
            "vocabulary": "Int64",
            "answers": "Int64",
            "logit_temperature": "Float64",
            **MEASURED,
        }
    )
    failed = [row for row in rows if row["status"] != "done"]
    skipped = [_skipped(skip) for skip in plan.skipped]
    failures = pd.DataFrame([*failed, *unscored, *skipped], columns=FAILURE_COLUMNS).astype(
        {"replicate": "Int64"}
    )
    filled = [frame for frame in (*frames, extra) if not frame.empty]
    scores = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=SCORE_COLUMNS)
    scores = scores.sort_values(["run_id", "split", "metric", "example_id"], kind="stable", ignore_index=True)
    return Tables(runs.drop(columns="log_tail"), scores, example_groups(usable), failures)


def _skipped(skip: Skip) -> dict[str, Any]:
    """Its row of the table `failures`."""
    axes = {"family": skip.family, "task": skip.task, "dataset": skip.dataset}
    return {"run_id": skip.cell, "status": SKIPPED, "reason": skip.reason} | axes


def _axes(run: Run) -> dict[str, Any]:
    config, model = run.config, run.config["model"]
    is_teacher = run.kind == "teacher"
    return {
        "run_id": run.id,
        "kind": run.kind,
        "teacher_id": run.teacher_id,
        "family": config["family"],
        "task": config["task"],
        "dataset": config["dataset"]["name"],
        "dataset_options": _compact(config["dataset"]["options"]),
        "limit": describe_limit(config["dataset"]),
        "examples": str(config["training"]["examples"]),
        "inputs": describe_inputs(config["inputs"]),
        "vocabulary": config["tokenizer"].get("vocabulary"),  # None: the tokenizer was not trained here
        "teacher_heads": model["heads"] if is_teacher else config["teacher"]["heads"],
        "student_heads": None if is_teacher else model["heads"],
        "assistant": None if is_teacher else _assistant(config["teacher"]["assistant"]),
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
        "seeds": _compact(config["seeds"]),
        "versions": _compact(config["versions"]),
        "data_hash": config["dataset"]["hash"],
    }


def _assistant(assistant: Mapping[str, Any] | None) -> str | None:
    """What stood between teacher and student, e.g. "amad_kl with 4 heads"."""
    return f"{assistant['loss']} with {assistant['heads']} heads" if assistant else None


def describe_limit(dataset: Mapping[str, Any]) -> str:
    """How much of the data set exists for the runs; their training may use less (`examples`)."""
    parts = ["a part of the official files"] if dataset["options"].get("subset") else []
    if dataset["limit"] is not None:
        counts = ", ".join(f"{split} {count}" for split, count in dataset["limit"].items())
        parts.append(f"limited to {counts}")
    return "; ".join(parts) or "no data limit"


def describe_inputs(inputs: Mapping[str, Any]) -> str:
    """What the config says that the model sees of an image, e.g. "pixels: size 48, patch 8".

    Of a vision model's folder only the name is shown, and eight digits of its hash.
    """
    shown = {key: value for key, value in inputs.items() if key != "kind"}
    if "model" in shown:
        shown |= {"model": Path(shown["model"]).name, "hash": shown["hash"][:SHORT_HASH]}
    details = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in shown.items())
    return f"{inputs['kind']}: {details}"


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _outcome(run: Run, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns from status.json and the provenance from run.json."""
    if not (folder / "run.json").exists():
        return _not_run("never started"), {}
    written = read_json(folder / "run.json")
    _refuse_mixing(run, folder, written)
    if not (folder / "status.json").exists():
        return _not_run("started, never finished"), dict(written["provenance"])
    status = read_status(folder)
    known = {key: status.get(key) for key in ("status", "reason", *MEASURED)}
    known["signatures"] = _compact(status.get("signatures", {}))
    known |= _data_facts(status.get("data", {}))  # empty when the run failed before it had its data
    return known | {"log_tail": "\n".join(status.get("log_tail", []))}, dict(written["provenance"])


def _data_facts(data: Mapping[str, Any]) -> dict[str, str | int | None]:
    """The columns DATA_FACTS; None for what is not known."""
    overlap, sha256 = data.get("image_overlap"), data.get("tokenizer_sha256")
    counts = {"split_examples": "examples", "with_image": "with_image", "left_out": "left_out"}
    return {
        "features": data.get("features"),
        "image_overlap": None if overlap is None else describe_overlap(overlap),
        "tokenizer_sha256": None if sha256 is None else sha256[:SHORT_HASH],
        **{column: _compact(data[key]) if key in data else None for column, key in counts.items()},
        "answers": data.get("answers"),
    }


def _not_run(reason: str) -> dict[str, Any]:
    unknown = dict.fromkeys((*MEASURED, *DATA_FACTS))
    return {"status": NOT_RUN, "reason": reason, **unknown, "signatures": "{}", "log_tail": ""}


def _refuse_mixing(run: Run, folder: Path, written: Mapping[str, Any]) -> None:
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
