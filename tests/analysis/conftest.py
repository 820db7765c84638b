"""A results folder with generated numbers: what a plan and its finished runs look like, without training."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.runtime.errors import USABLE

LOSSES = ("ce", "logit_kd", "one_to_one", "student_mean", "amad_kl")
LEVEL = {
    "teacher": 0.8,
    "ce": 0.6,
    "logit_kd": 0.63,
    "one_to_one": 0.66,
    "student_mean": 0.68,
    "amad_kl": 0.72,
}
TASKS = (
    ("vlt5", "vqa"),
    ("vlt5", "captioning"),
    ("vlt5", "translation"),
    ("blip", "vqa"),
    ("blip", "captioning"),
)
ANSWER_TYPES = ("yes/no", "number", "other")
DATA = {
    "examples": {"train": 6000, "validation": 200, "test": 240},
    "with_image": {"train": 5000, "validation": 200, "test": 240},
    "left_out": {"val2014": 7},
    "answers": 3129,
    "photos": {"train": 1500, "validation": 50, "test": 60},
    "image_overlap": {},
    "features": "raw patches of regions",
    "tokenizer_sha256": "abcdef0123456789" * 4,
}
INPUTS = {
    "vlt5": {"kind": "regions", "boxes": "file", "crop": 8, "max_regions": 8},
    "blip": {"kind": "pixels", "size": 48, "patch": 8},
}


def make_config(
    family: str,
    task: str,
    label: str,
    *,
    teacher_id: str | None,
    replicate: int = 0,
    heads=(8, 2),
    limit=None,
    size: dict[str, int] | None = None,
    pretraining: str = "none",
    start: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """size: what is other than usual in the model's shape."""
    is_teacher = label == "teacher"
    loss = "ce" if is_teacher else label
    return {
        "kind": "teacher" if is_teacher else "student",
        "family": family,
        "task": task,
        "dataset": {
            "name": "scenes",
            "options": {"seed": 0},
            "limit": limit,
            "features": None,
            "hash": "0123456789abcdef",
            "version": 1,
        },
        "inputs": INPUTS[family],
        "tokenizer": {"vocabulary": 400},
        "model": make_model(family, heads[0] if is_teacher else heads[1]) | (size or {}),
        "start": start,
        "fix": "inner_width",
        "teacher": None
        if is_teacher
        else {"run_id": None if loss == "ce" else teacher_id, "heads": heads[0], "assistant": None},
        "pretraining": pretraining,
        "teacher_pretraining": None if is_teacher else "none",
        "loss": {
            "name": "amad" if loss.startswith("amad") else loss,
            "label": loss,
            "options": {"variant": "kl"} if loss == "amad_kl" else {},
            "weights": {"ce": 1.0},
            "logit_temperature": None if loss == "ce" else 2.0,
            "sites": [],
            "layer_map": None,
        },
        "training": {"examples": 6000, "steps": 1000, "batch": 64, "learning_rate": 1e-3},
        "decoding": {"max_length": 8, "beams": 1},
        "replicate": replicate,
        "controls": loss == "ce",
        "seeds": {"init": replicate},
        "versions": {"dataset:scenes": 1, f"family:{family}": 1, f"loss:{loss}": 1, "training": 1},
    }


def make_model(family: str, heads: int) -> dict[str, Any]:
    regions = {"order_embedding": False, "box_area": "true"} if family == "vlt5" else {}
    sizes = {"layers": 2, "width": 48, "feed_forward": 192, "dropout": 0.0}
    return {**sizes, "heads": heads, "head_size": 48 // heads, **regions}


def make_pretrain(family: str = "vlt5", condition: str = "vl", heads: int = 2) -> Run:
    """The run of kind `pretrain` from which models with so many heads start."""
    config = make_config(family, "pretraining", "ce", teacher_id=None, heads=(heads, heads))
    config |= {"kind": "pretrain", "teacher": None, "teacher_pretraining": None, "decoding": None}
    config |= {"pretraining": condition, "controls": False}
    config.loss |= {"label": "pretrain", "weights": {}}
    return Run(f"{family}-pretraining-h{heads}-{condition}-s00", "pretrain", config)


def make_plan(
    tasks=TASKS, losses=LOSSES, seeds: int = 2, gaps=((8, 2),), limit=None, extra_metrics=()
) -> Plan:
    teachers, students = {}, []
    for family, task in tasks:
        for heads in gaps:
            teacher_id = f"{family}-{task}-h{heads[0]}-teacher"
            config = make_config(family, task, "teacher", teacher_id=None, heads=heads, limit=limit)
            teachers[teacher_id] = Run(teacher_id, "teacher", config)
            for label in losses:
                for replicate in range(seeds):
                    config = make_config(
                        family,
                        task,
                        label,
                        teacher_id=teacher_id,
                        replicate=replicate,
                        heads=heads,
                        limit=limit,
                    )
                    identifier = f"{family}-{task}-h{heads[0]}to{heads[1]}-{label}-s{replicate:02d}"
                    students.append(Run(identifier, "student", config, config.teacher.run_id))
    return Plan([*teachers.values(), *students], extra_metrics=extra_metrics)


def make_scores(run: Run, images: int = 60, per_image: int = 4) -> pd.DataFrame:
    """Scores whose level depends on the loss; images and seeds have effects that all losses share."""
    task = run.config.task
    label = "teacher" if run.kind == "teacher" else run.config.loss.label
    shared = np.random.default_rng([TASKS.index((run.config.family, task)), 7])
    easy = shared.normal(0, 0.1, images).repeat(per_image)
    own = np.random.default_rng([ord(letter) for letter in run.id])
    level = LEVEL[label] + shared.normal(0, 0.02, 20)[run.config.replicate] + own.normal(0, 0.01)
    examples = [f"e{number:04d}" for number in range(images * per_image)]
    clusters = [f"i{number // per_image:03d}" for number in range(images * per_image)]
    splits = ("test", "test_blind", "test_majority") if run.config.controls else ("test",)
    metrics = {
        "vqa": ("vqa_accuracy", "vqa_accuracy_2021"),
        "captioning": ("CIDEr", "Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L"),
        "translation": ("BLEU", "BLEU_lc", "chrF2", "TER"),
    }[task]
    frames = []
    for split in splits:
        chance = np.clip(
            level + easy - {"test": 0, "test_blind": 0.4, "test_majority": 0.5}[split], 0.01, 0.99
        )
        for metric in metrics:
            right = own.random(len(examples)) < chance
            frames.append(
                pd.DataFrame(
                    {
                        "run_id": run.id,
                        "split": split,
                        "metric": metric,
                        "example_id": examples,
                        "cluster_id": clusters,
                        "value": right.astype(float) * (1.3 if metric == "CIDEr" else 1.0),
                        "statistics": pd.Series(make_statistics(metric, chance, own), dtype=object),
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def make_statistics(metric: str, chance: np.ndarray, own: np.random.Generator) -> list:
    n = len(chance)
    if metric.startswith(("BLEU", "Bleu")):
        total = np.tile([10.0, 9, 8, 7], (n, 1))
        correct = own.binomial(total.astype(int), np.power(chance[:, None], [0.5, 0.8, 1.1, 1.4]))
        lengths = np.tile([10.0, 10.0], (n, 1))
        counts = (total, correct) if metric.startswith("Bleu") else (correct, total)
        return np.concatenate([lengths, *counts], axis=1).tolist()
    if metric == "chrF2":
        totals = np.tile(np.arange(20.0, 14.0, -1)[:, None], (n, 1, 1))
        matches = own.binomial(totals.astype(int), chance[:, None, None])
        return np.concatenate([totals, totals, matches], axis=2).reshape(n, 18).tolist()
    if metric == "TER":
        return np.stack([own.binomial(10, 1 - chance), np.full(n, 10.0)], axis=1).tolist()
    return [None] * n


def make_predictions(run: Run, scores: pd.DataFrame) -> list[dict[str, Any]]:
    """A record per example and split; of VQA in groups, by the example's number."""
    rows = scores[["split", "example_id", "cluster_id"]].drop_duplicates().to_dict("records")
    for row in rows:
        number = int(row["example_id"][1:])
        groups = {"answer_type": ANSWER_TYPES[number % 3], "domain": "out" if number % 5 == 0 else "in"}
        groups |= {"question_type": "how many"} if number % 3 == 1 else {}
        row |= {
            "prediction": "a",
            "references": ["a"],
            "groups": groups if run.config.task == "vqa" else {},
        }
    return rows


def write_steps(folder: Path, validated: dict[int, float]) -> None:
    """A step log: the share of right validation tokens by step, each after a line about the training."""
    rows = []
    for step, accuracy in validated.items():
        rows.append({"step": step, "loss": 2.0, "alignment": {"encoder.self/1": {"entropy": 0.6}}})
        rows.append({"step": step, "validation_token_accuracy": accuracy, "validation_loss": 1 - accuracy})
    (folder / "steps.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_run(
    results: Path,
    run: Run,
    status: str = "done",
    reason: str = "",
    data: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """`data` replaces parts of what the status says about the data, `changes` parts of the written config."""
    folder = results / "runs" / run.id
    folder.mkdir(parents=True, exist_ok=True)
    provenance = {
        "version": "0.1.0",
        "commit": "a" * 40,
        "torch": "2.13.0",
        "device": "cpu",
        "cpu": "a processor",
    }
    written = {"id": run.id, "kind": run.kind, "config": run.config | changes, "provenance": provenance}
    (folder / "run.json").write_text(json.dumps(written))
    facts = {
        "status": status,
        "reason": reason,
        "wall_seconds": 41.5,
        "train_seconds": 38.0,
        "peak_memory_mib": 700.0,
        "parameters": 150000,
        "extra_params": 0,
        "flops_per_example": 2_000_000_000_000,
        "head_map": {},
        "steps": 1000,
        "best_step": 800,
        "data": DATA | (data or {}),
        "log_tail": [] if status == "done" else ["line one", "line two"],
    }
    (folder / "status.json").write_text(json.dumps(facts))
    write_steps(folder, {500: 0.5, 1000: 0.6})
    if status in USABLE and run.kind != "pretrain":
        scores = make_scores(run)
        scores.to_parquet(folder / "scores.parquet", index=False)
        lines = [json.dumps(row) for row in make_predictions(run, scores)]
        (folder / "predictions.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def fake() -> SimpleNamespace:
    """plan(...), pretrain(...), config(...), scores(run), write(results, run, ...) and steps(folder, ...), to
    build a results folder from."""
    return SimpleNamespace(
        plan=make_plan,
        pretrain=make_pretrain,
        config=make_config,
        scores=make_scores,
        write=write_run,
        steps=write_steps,
    )


@pytest.fixture(scope="session")
def fake_results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    """The default plan with all its runs done; read-only."""
    results, plan = tmp_path_factory.mktemp("fake") / "results", make_plan()
    for run in plan.runs:
        write_run(results, run)
    return plan, results
