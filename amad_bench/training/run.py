"""One run from start to end: data, model, training, predictions, scores, status, all in its folder."""

import json
import resource
import time
import traceback
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from amad_bench.data.prepare import load_task_data
from amad_bench.data.task_data import Split, TaskData
from amad_bench.models.build import build_model
from amad_bench.models.checkpoints import load_weights, save_weights
from amad_bench.plan.catalogue import primary_metric
from amad_bench.plan.run import Run
from amad_bench.runtime.errors import RunFailed, UserError
from amad_bench.runtime.files import read_json, write_json_atomic, write_parquet_atomic, write_text_atomic
from amad_bench.runtime.paths import run_dir
from amad_bench.runtime.provenance import provenance
from amad_bench.scoring.decode import decode
from amad_bench.scoring.score_run import score_predictions
from amad_bench.training.distill import Objective
from amad_bench.training.loop import Trained, train
from amad_bench.training.teacher_cache import TeacherOutputs


def train_run(run: Run, device: str = "auto") -> str:
    """Trains, decodes the test split, scores; returns the status (one of runtime.errors.STATUSES).

    `device`: "auto" (CUDA where there is one), "cpu" or "cuda". status.json is written last, whatever
    happened, except for a bug or a UserError, which pass through.
    """
    where = _device(device)
    folder = run_dir(run.id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "status.json").unlink(missing_ok=True)
    write_json_atomic(
        folder / "run.json",
        {"id": run.id, "kind": run.kind, "config": run.config, "provenance": provenance(str(where))},
    )
    status = _Status()
    try:
        data = load_task_data(run.config)
        model = _fresh_model(run.config, data).to(where)
        status.facts["parameters"] = sum(p.numel() for p in model.parameters())
        trained = _train(run, model, data, where, status)
        save_weights(model, folder / "model.safetensors", run.config["model"])
        status.facts |= {
            "train_seconds": trained.seconds,
            "steps": trained.steps,
            "best_step": trained.best_step,
        }
        _predict_and_score(run, model, data, where)
    except RunFailed as failure:
        status.fail(failure.status, failure.reason)
    except (torch.OutOfMemoryError, MemoryError) as error:
        status.fail("out_of_memory", " ".join(str(error).split())[:500])
    status.write(folder / "status.json", where)
    return status.facts["status"]


def score_run(run: Run, device: str = "auto") -> str:
    """Decodes and scores a trained run again from its stored weights."""
    where = _device(device)
    folder = run_dir(run.id)
    status = _Status(read_json(folder / "status.json"))
    data = load_task_data(run.config)
    model = _fresh_model(run.config, data).to(where)
    load_weights(model, folder / "model.safetensors", run.config["model"])
    try:
        status.facts |= {"status": "done", "reason": "", "log_tail": []}
        _predict_and_score(run, model, data, where)
    except RunFailed as failure:
        status.fail(failure.status, failure.reason)
    write_json_atomic(folder / "status.json", status.facts)
    return status.facts["status"]


class _Status:
    """status.json in the making."""

    def __init__(self, facts: dict[str, Any] | None = None):
        self.started = time.perf_counter()
        self.facts: dict[str, Any] = facts or {
            "status": "done",
            "reason": "",
            "wall_seconds": 0.0,
            "train_seconds": 0.0,
            "peak_memory_mib": 0.0,
            "parameters": 0,
            "extra_params": 0,
            "steps": 0,
            "best_step": 0,
            "log_tail": [],
        }

    def fail(self, status: str, reason: str) -> None:
        tail = traceback.format_exc().splitlines()[-5:]
        self.facts |= {"status": status, "reason": reason, "log_tail": tail}

    def write(self, path: Path, device: torch.device) -> None:
        self.facts["wall_seconds"] = time.perf_counter() - self.started
        if device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(device) / 2**20
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        self.facts["peak_memory_mib"] = peak
        write_json_atomic(path, self.facts)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device: cuda was asked for, but torch sees no CUDA device; use device: auto or cpu")
    return torch.device(name)


def _fresh_model(config: dict[str, Any], data: TaskData) -> nn.Module:
    source, target = data.train.source_ids_NL.shape[1], data.train.target_ids_NL.shape[1]
    return build_model(
        config["family"],
        config["task"],
        config["model"],
        config["inputs"],
        vocabulary=data.tokenizer.size,
        positions=source + max(target, config["decoding"]["max_length"]) + 1,
        init_seed=config["seeds"]["init"],
    )


def _train(run: Run, model: nn.Module, data: TaskData, device: torch.device, status: _Status) -> Trained:
    config = run.config
    loss = config["loss"]
    objective = Objective(loss).to(device)
    status.facts["extra_params"] = sum(p.numel() for p in objective.parameters())
    print(f"{run.id}: {objective}", flush=True)
    examples = config["training"]["examples"]
    if examples != "all":
        data = replace(data, train=data.train.first(examples))
    sites = list(loss["sites"]) if "attention" in objective.weights else []
    teacher_trace = None
    if objective.needs_teacher:
        teacher = _teacher(run, data).to(device)
        teacher_trace = TeacherOutputs(teacher, data.train, data.images, sites, device).trace
    return train(
        model=model,
        objective=objective,
        data=data,
        options=config["training"],
        sites=sites,
        seeds=config["seeds"],
        device=device,
        log_path=run_dir(run.id) / "steps.jsonl",
        teacher_trace=teacher_trace,
        description=run.id,
    )


def _teacher(run: Run, data: TaskData) -> nn.Module:
    """The finished teacher, frozen; RunFailed("teacher_failed") when it did not end well."""
    if run.teacher_id is None:
        raise ValueError(f"{run.id}: loss {run.config['loss']['label']} needs a teacher, the run names none")
    folder = run_dir(run.teacher_id)
    if not (folder / "status.json").is_file():
        raise UserError(
            f"{folder}: the teacher of {run.id} is not trained; run `amad-bench run --run {run.teacher_id}`"
        )
    status = read_json(folder / "status.json")
    if status["status"] not in (
        "done",
        "metric_unavailable",
    ):  # its weights are whole even if it was not scored
        raise RunFailed("teacher_failed", f"teacher {run.teacher_id}: {status['status']}: {status['reason']}")
    config = read_json(folder / "run.json")["config"]
    teacher = _fresh_model(config, data)
    load_weights(teacher, folder / "model.safetensors", config["model"])
    return teacher.eval().requires_grad_(False)


def _predict_and_score(run: Run, model: nn.Module, data: TaskData, device: torch.device) -> None:
    """Reads the test split, once, at the end; controls (blind, majority) where the config asks for them."""
    import pandas as pd

    config, folder = run.config, run_dir(run.id)

    def predictions(image_rows: np.ndarray | None = None) -> list[str]:
        return decode(
            model, data.test, data.images, data.tokenizer, config["decoding"], device, image_rows=image_rows
        )

    predicted = {"test": predictions()}
    if config["controls"]:
        shuffled = _shuffled_images(data.test.image_rows_N, config["seeds"]["blind"])
        predicted["test_blind"] = predictions(shuffled)
        predicted["test_majority"] = [_majority(data.train)] * len(data.test)
    rows = {split: _rows(data.test, split, texts) for split, texts in predicted.items()}
    lines = [json.dumps(row, ensure_ascii=False) for split_rows in rows.values() for row in split_rows]
    write_text_atomic(folder / "predictions.jsonl", "\n".join(lines) + "\n")

    metric = primary_metric(config["task"], config["dataset"]["name"])
    frames, unavailable = [], {}
    for split, split_rows in rows.items():
        frame, missing = score_predictions(config["task"], metric, split_rows)
        frame.insert(0, "split", split)
        frames.append(frame)
        unavailable |= missing
    scores = pd.concat(frames, ignore_index=True)
    scores.insert(0, "run_id", run.id)
    write_parquet_atomic(folder / "scores.parquet", scores)
    if unavailable:
        raise RunFailed(
            "metric_unavailable", "; ".join(f"{name}: {reason}" for name, reason in unavailable.items())
        )


def _rows(split: Split, name: str, texts: list[str]) -> list[dict[str, Any]]:
    columns = zip(split.example_ids, split.cluster_ids, texts, split.references, strict=True)
    return [
        {
            "split": name,
            "example_id": example,
            "cluster_id": cluster,
            "prediction": text,
            "references": references,
        }
        for example, cluster, text, references in columns
    ]


def _shuffled_images(image_rows_N: np.ndarray, seed: int) -> np.ndarray:
    """Every image replaced by another one (a random cycle through all of them); -1, no image, stays."""
    images = np.random.default_rng(seed).permutation(np.unique(image_rows_N[image_rows_N >= 0]))
    successor = dict(zip(images.tolist(), np.roll(images, 1).tolist(), strict=True))
    return np.array([successor.get(int(row), -1) for row in image_rows_N])


def _majority(train: Split) -> str:
    """The most frequent target of the training split; the first in alphabetical order on a tie."""
    counts = Counter(references[0] for references in train.references)
    return min(counts, key=lambda text: (-counts[text], text))
