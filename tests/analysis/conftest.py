"""A results folder with generated numbers: what a plan and its finished runs look like, without training."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import reduce
from operator import getitem
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from amad_bench.plan.config.checks import check_meaning
from amad_bench.plan.config.schema import Config
from amad_bench.plan.grid import expand
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.runtime.errors import USABLE
from tests.planned import PIXELS, REGIONS, SCENES, TRAINING

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
MODELS = {"vlt5": {"inputs": REGIONS, "order_embedding": True}, "blip": {"inputs": PIXELS}}
SIZE = {"layers": 2, "width": 48, "feed_forward": 192, "dropout": 0.0}
LOSS_OPTIONS = {"one_to_one": {"drop": "extra"}, "amad_kl": {"name": "amad", "variant": "kl"}}


def make_raw(
    tasks=TASKS,
    losses=LOSSES,
    seeds: int = 2,
    gaps=((8, 2),),
    limit: dict[str, int] | None = None,
    examples: int | str = 6000,
    extra_metrics=(),
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """A config as its file holds it.

    gaps: heads of teachers and of their students; changes: what it says otherwise, by the path to the key,
    e.g. {"heads.keep": "head_size"}.
    """
    of_teachers, of_students = (list(dict.fromkeys(counts)) for counts in zip(*gaps, strict=True))
    training = TRAINING | {"examples": examples, "steps": 1000, "batch": 64}
    raw: dict[str, Any] = {
        "name": "fake",
        "replicates": seeds,
        "datasets": {"scenes": SCENES | {"limit": limit}},
        "models": {
            family: MODELS[family] | {"teacher": dict(SIZE), "student": dict(SIZE)} for family, _ in tasks
        },
        "heads": {"teacher": of_teachers, "student": of_students},
        "pretraining": {"training": {family: dict.fromkeys(("text", "vl"), TRAINING) for family in MODELS}},
        "losses": [{"name": label} | LOSS_OPTIONS.get(label, {}) for label in losses],
        "sites": {"vlt5": ["encoder.self"], "blip": ["vision.self"]},
        "extra_metrics": list(extra_metrics),
        "tasks": [
            {
                "family": family,
                "task": task,
                "dataset": "scenes",
                "vocabulary": 400,
                "decoding": {"max_length": 8, "beams": 1},
                "teacher": training,
                "student": training,
            }
            for family, task in tasks
        ],
    }
    for path, value in changes.items():
        *parents, key = path.split(".")
        reduce(getitem, parents, raw)[key] = value
    return raw


def make_plan(gaps=((8, 2),), **config: Any) -> Plan:
    """A plan as the planner makes it of `make_raw`'s config, but for the hashes in its ids."""
    checked = Config.model_validate(make_raw(gaps=gaps, **config))
    if problems := check_meaning(checked):
        raise ValueError("; ".join(problems))
    plan = expand(checked)
    assert not plan.skipped, plan.skipped
    named = {run.id: name_of(run) for run in plan.runs}
    assert len(set(named.values())) == len(named)
    return replace(plan, runs=[renamed(run, named) for run in plan.runs if of_gaps(run, gaps)])


def name_of(run: Run) -> str:
    """A name without a hash; runs that blocks have for themselves carry the block's."""
    block = run.config.block
    flops = run.budget == "flops" and run.budget
    parts = (run.config.id_prefix, run.student_name, block and f"of {block.pair}", flops)
    return "-".join(filter(None, parts))


def of_gaps(run: Run, gaps) -> bool:
    """A config's students have every number of heads for every teacher."""
    taught = run.config.teacher
    return taught is None or (taught.heads, run.config.model.heads) in gaps


def renamed(run: Run, names: Mapping[str, str]) -> Run:
    """The run under a name without a hash: else a raised version would change the generated scores."""
    config = run.config
    parts = {
        key: part.model_copy(update={"run_id": part.run_id and names[part.run_id]})
        for key, part in (("start", config.start), ("teacher", config.teacher))
        if part is not None
    }
    teacher = run.teacher_id and names[run.teacher_id]
    return replace(vary(run, **parts), id=names[run.id], teacher_id=teacher)


def vary(run: Run, **parts: Any) -> Run:
    """The run with other parts in its config: for what no config file can say."""
    return replace(run, config=run.config.model_copy(update=parts))


def make_pretrain(family: str = "vlt5", condition: str = "vl", heads: int = 2) -> Run:
    """The run of kind `pretrain` from which models with so many heads start."""
    known = {"pretraining.student": [condition]}
    plan = make_plan(tasks=((family, "vqa"),), losses=("ce",), seeds=1, gaps=((heads, heads),), changes=known)
    return next(run for run in plan.runs if run.kind == "pretrain")


def join(*plans: Plan) -> Plan:
    """One plan of the runs of several; those that they share stand once."""
    return Plan(list({run.id: run for plan in plans for run in plan.runs}.values()))


def make_scores(run: Run, images: int = 60, per_image: int = 4) -> pd.DataFrame:
    """Scores whose level depends on the loss; images and seeds have effects that all losses share."""
    label = "teacher" if run.kind == "teacher" else run.config.loss.label
    shared = np.random.default_rng([TASKS.index((run.config.family, run.config.task)), 7])
    easy = shared.normal(0, 0.1, images).repeat(per_image)
    own = np.random.default_rng([ord(letter) for letter in run.id])
    level = LEVEL[label] + shared.normal(0, 0.02, 20)[run.config.replicate] + own.normal(0, 0.01)
    return scores_at(run, level + easy, own, per_image, lambda: own.random(images * per_image))


def scores_at(
    run: Run,
    level_N: np.ndarray,
    own: np.random.Generator,
    per_image: int,
    draw: Callable[[], np.ndarray],
) -> pd.DataFrame:
    """Scores of a run whose chance to be right is level_N, on all metrics of its task and on its splits.

    own: what its statistics are drawn with. draw: (N,) uniform numbers; an example whose is below its chance
    is right.
    """
    number_N = np.arange(len(level_N))
    examples = [f"e{number:04d}" for number in number_N]
    clusters = [f"i{number // per_image:03d}" for number in number_N]
    splits = ("test", "test_blind", "test_majority") if run.config.controls else ("test",)
    metrics = {
        "vqa": ("vqa_accuracy", "vqa_accuracy_2021"),
        "captioning": ("CIDEr", "Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L"),
        "translation": ("BLEU", "BLEU_lc", "chrF2", "TER"),
    }[run.config.task]
    frames = []
    for split in splits:
        chance = np.clip(level_N - {"test": 0, "test_blind": 0.4, "test_majority": 0.5}[split], 0.01, 0.99)
        for metric in metrics:
            right = draw() < chance
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
    scores: pd.DataFrame | None = None,
    predictions: list[dict[str, Any]] | None = None,
    measured: Mapping[str, Any] = MappingProxyType({}),
    **changes: Any,
) -> Path:
    """`data` replaces parts of what the status says about the data, `measured` of what it says of the run,
    `changes` parts of the written config; scores, predictions: by default those of `make_scores`."""
    folder = results / "runs" / run.id
    folder.mkdir(parents=True, exist_ok=True)
    provenance = {
        "version": "0.1.0",
        "commit": "a" * 40,
        "torch": "2.13.0",
        "device": "cpu",
        "cpu": "a processor",
    }
    written = {"id": run.id, "kind": run.kind, "config": run.config.canonical() | changes}
    written |= {"provenance": provenance}
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
    } | dict(measured)
    (folder / "status.json").write_text(json.dumps(facts))
    write_steps(folder, {500: 0.5, 1000: 0.6})
    if status in USABLE:
        (folder / "model.safetensors").touch()
    if status in USABLE and run.kind != "pretrain":
        scores = make_scores(run) if scores is None else scores
        scores.to_parquet(folder / "scores.parquet", index=False)
        rows = make_predictions(run, scores) if predictions is None else predictions
        lines = [json.dumps(row) for row in rows]
        (folder / "predictions.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def fake() -> SimpleNamespace:
    """plan(...), pretrain(...), join(plan, ...), vary(run, ...), scores(run), write(results, run, ...) and
    steps(folder, ...), to build a results folder from."""
    return SimpleNamespace(
        plan=make_plan,
        pretrain=make_pretrain,
        join=join,
        vary=vary,
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
