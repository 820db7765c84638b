"""Canonical run configs for tests, made by the planner from a small config that is checked as a file's is."""

from typing import Any

from amad_bench.plan.catalogue import DATASETS
from amad_bench.plan.config.checks import check_meaning
from amad_bench.plan.config.schema import Config
from amad_bench.plan.grid import expand, possible_runs
from amad_bench.plan.run_config import RunConfig, UsedDataset

SCENES = {"train_images": 40, "validation_images": 8, "test_images": 12, "seed": 0}
REGIONS = {"kind": "regions", "boxes": "file", "crop": 8, "max_regions": 8}
GRID = {"kind": "regions", "boxes": "grid", "rows": 2, "columns": 2, "crop": 4, "max_regions": 4}
PIXELS = {"kind": "pixels", "size": 48, "patch": 8, "colours": "half"}
SIZE = {"layers": 1, "width": 16, "feed_forward": 32, "dropout": 0.0}
TRAINING = {
    "examples": "all",
    "steps": 2,
    "batch": 4,
    "learning_rate": 1.0e-3,
    "warmup": 0.0,
    "weight_decay": 0.0,
    "clip": 1.0,
    "evaluations": 1,
}


def small_config(
    family: str,
    task: str,
    *,
    dataset: str = "scenes",
    inputs: dict[str, Any] | None = None,
    vocabulary: int = 150,
    tokenizer: str | None = None,
    condition: str = "none",
    **options: Any,
) -> Config:
    """A checked config with one task entry.

    inputs: REGIONS of scenes, GRID of other data sets, PIXELS of BLIP where left out. tokenizer: a folder,
    instead of `vocabulary`. condition: a pre-training that is done here. options: all else that
    `datasets.<dataset>` says, `limit` and `features` included; left out, the scenes are few.
    """
    few = SCENES if dataset == "scenes" else {}
    boxes = REGIONS if dataset == "scenes" else GRID
    model = {"inputs": inputs or (boxes if family == "vlt5" else PIXELS), "teacher": SIZE, "student": SIZE}
    if (family, condition) == ("vlt5", "vl"):
        model["order_embedding"] = True
    training = {} if condition == "none" else {family: {condition: TRAINING}}
    config = Config.model_validate(
        {
            "name": "small",
            "replicates": 1,
            "datasets": {dataset: {**few, **options}},
            "models": {family: model},
            "heads": {"teacher": [4], "student": [2]},
            "pretraining": {"teacher": [condition], "student": [condition], "training": training},
            "losses": [{"name": "ce"}],
            "tasks": [
                {
                    "family": family,
                    "task": task,
                    "dataset": dataset,
                    "vocabulary": None if tokenizer else vocabulary,
                    "tokenizer": tokenizer,
                    "decoding": {"max_length": 8, "beams": 1},
                    "teacher": TRAINING,
                    "student": TRAINING,
                }
            ],
        }
    )
    if problems := check_meaning(config):
        raise ValueError("; ".join(problems))
    return config


def planned_config(family: str, task: str, *, kind: str = "teacher", **small: Any) -> RunConfig:
    """The config of the first run of a kind ("pretrain", "teacher", "student") of `small_config`.

    Its data must be there.
    """
    return next(run.config for run in expand(small_config(family, task, **small)).runs if run.kind == kind)


def planned_dataset(name: str, **options: Any) -> UsedDataset:
    """A data set with these options, and with no hash: its files may be absent or damaged."""
    config = small_config("vlt5", DATASETS[name].tasks[0], dataset=name, **options)
    return possible_runs(config, config.tasks[0])[0].config.dataset
