"""Runs whose steps show what a loss of attention costs: the base models of `paper-core.yaml` and 8 heads."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import possible_plan
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.runtime.paths import PAPER_CORE, shipped

TEACHER_HEADS, STUDENT_HEADS = 12, 8
SMALL = "small"  # the student that is taken of a family that has several sizes
LOGITS, ATTENTION = "logit_kd", "amad"
OPTIONS: dict[str, Any] = {"variant": "kl", "head_reduction": "sum"}
LEAST = {
    "layers": 2,
    "width": 192,
    "feed_forward": 768,
}  # of a small plan's models
LEAST_PICTURE = 224


def attention_plan(small: bool = False) -> Plan:
    """Students with `logit_kd` and with `amad_kl`, one of each family, without any file of data or weights.

    Each family's first site is compared, in its first task whose pictures have the model's own size. small:
    models of few and narrow layers, and small pictures.
    """
    config = yaml.safe_load(shipped(PAPER_CORE).read_text(encoding="utf-8"))
    tasks: dict[str, Any] = {}
    for entry in config["tasks"]:
        own = config["models"][entry["family"]]["inputs"]["size"]
        if entry.get("image_size", own) == own:
            tasks.setdefault(entry["family"], entry)
    for model in config["models"].values():
        if "students" in model:
            model["students"] = {SMALL: model["students"][SMALL]}
        students = model["students"].values() if "students" in model else [model["student"]]
        for size in (model["teacher"], *students):
            size.pop("heads", None)
            size.update(LEAST if small else {})
        if small and model["inputs"]["kind"] == "pixels":
            model["inputs"]["size"] = LEAST_PICTURE
    for entry in tasks.values():
        entry.pop("image_size", None)  # the model's own
    config |= {
        "name": "attention",
        "replicates": 1,
        "heads": {"teacher": [TEACHER_HEADS], "student": [STUDENT_HEADS], "keep": "inner_width"},
        "losses": [{"name": LOGITS}, {"name": ATTENTION, **OPTIONS}],
        "sites": {family: sites[:1] for family, sites in config["sites"].items()},
        "tasks": list(tasks.values()),
    }
    with TemporaryDirectory() as folder:
        path = Path(folder, "attention.yaml")
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return possible_plan(load_config(path))


def run_of(plan: Plan, family: str, loss: str, batch: int, layer_map: str | None = None) -> Run:
    """The family's run with that loss, at another batch, and with another layer map where one is given."""
    found = next(
        run
        for run in plan.runs
        if run.kind == "student" and (run.config.family, run.config.loss.name) == (family, loss)
    )
    training = found.config.training.model_copy(update={"batch": batch})
    used = found.config.loss
    if layer_map is not None:
        used = used.model_copy(update={"layer_map": layer_map})
    return replace(found, config=found.config.model_copy(update={"training": training, "loss": used}))
