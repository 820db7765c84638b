"""The canonical configs of a cell's runs: pre-trainings, teachers, students."""

from functools import cache, cached_property
from typing import Any

from amad_bench.plan.catalogue import (
    DATASETS,
    FAMILIES,
    LOSSES,
    METRICS,
    PREPARED_VERSION,
    PRETRAINING_VERSION,
    TRAINING_VERSION,
    metrics_of,
)
from amad_bench.plan.cell_data import pretraining_form, weights_hash
from amad_bench.plan.run import Run, run_id
from amad_bench.plan.schema import Cell, Config, LossEntry, ModelSize
from amad_bench.plan.seeds import seed


class CellRuns:
    """Makes the runs of one cell; `pretrained` gathers, by id, the pre-trainings that others start from.

    shared: the cell's config with hashes or, where the runs are only counted, its form without them.
    """

    def __init__(self, config: Config, cell: Cell, shared: dict[str, Any]) -> None:
        self.config, self.cell, self.shared = config, cell, shared
        self.entry = config.models[cell.family]
        self.pretrained: dict[str, Run] = {}
        self._weights_hash = cache(weights_hash)  # hashing a checkpoint again for each run would take long

    @cached_property
    def _pretraining_form(self) -> dict[str, Any]:
        return pretraining_form(self.config, self.cell, self.shared)

    @property
    def teacher_heads(self) -> list[int]:
        return self.entry.teacher.heads or self.config.heads.teacher

    @property
    def student_sizes(self) -> dict[str, ModelSize]:
        return self.entry.student_sizes

    def heads_of(self, student: ModelSize) -> list[int]:
        return student.heads or self.config.heads.student

    def model(self, size: ModelSize, heads: int) -> dict[str, Any]:
        """The canonical config's `model`."""
        sizes = size.model_dump(include={"layers", "width", "feed_forward", "dropout"})
        head_size = size.width // heads if self.config.fix == "inner_width" else size.head_size
        regions = {}
        if self.cell.family == "vlt5":
            regions = {
                "order_embedding": bool(self.entry.order_embedding),
                "box_area": self.entry.box_area or "true",
            }
        return {**sizes, "heads": heads, "head_size": head_size, **regions}

    def uncuttable(self, size: ModelSize, heads: int, pretraining: str, teacher_heads: int) -> str:
        """Why this student cannot be cut from weights of the teacher's shape; "" when it can, or need not."""
        if pretraining == "none" or size.init == "random" or pretraining in size.weights:
            return ""
        model, teacher = self.model(size, heads), self.model(self.entry.teacher, teacher_heads)
        if size.init == "remap":
            inner = [shape["heads"] * shape["head_size"] for shape in (model, teacher)]
            if inner[0] != inner[1]:
                return "init: remap keeps the inner width (heads x head size), the teacher has another one"
            for key in ("width", "feed_forward"):
                if model[key] != teacher[key]:
                    return f"init: remap keeps the {key.replace('_', '-')}, the teacher has another one"
        cut = ("layers",) if size.init == "remap" else ("layers", "width", "feed_forward", "heads")
        larger = [key for key in cut if model[key] > teacher[key]]
        if larger:
            return f"init: {size.init} cuts the teacher's weights, and the student has more {larger[0]}"
        return ""

    def start(
        self, size: ModelSize, heads: int, pretraining: str, teacher_heads: int
    ) -> dict[str, Any] | None:
        """What a model starts from: None for random weights; DataMissing where its weights are not there."""
        if pretraining == "none":
            return None
        cut = {
            "init": size.init,
            "inherit_heads": size.inherit_heads if size.init == "inherit" else None,
        }
        own = size.init == "random"
        paths = size.weights.get(pretraining) or ([] if own else self.entry.teacher.weights.get(pretraining))
        if paths:
            known = {"hash": self._weights_hash(tuple(paths))} if "hash" in self.shared["dataset"] else {}
            return {**cut, "weights": sorted(paths), **known}
        source = (size, heads) if own else (self.entry.teacher, teacher_heads)
        return {**cut, "run_id": self._pretrain(*source, pretraining).id}

    def _pretrain(self, size: ModelSize, heads: int, condition: str) -> Run:
        config, cell = self.config, self.cell
        training = config.pretraining.training[cell.family][condition]
        contrast = (cell.family, condition) == ("blip", "vl")
        pretrain_config = {
            **self._pretraining_form,
            "kind": "pretrain",
            "model": self.model(size, heads),
            "start": None,
            "teacher": None,
            "pretraining": condition,
            "teacher_pretraining": None,
            "loss": {**_cross_entropy({}), "label": "pretrain"},
            "training": {
                **training.model_dump(exclude={"momentum_distillation"}),
                **({"momentum_distillation": bool(training.momentum_distillation)} if contrast else {}),
            },
            "replicate": 0,
            "controls": False,
            "seeds": self._seeds("pretrain", heads, 0),
            "versions": {**self._model_versions(), "pretraining": PRETRAINING_VERSION},
        }
        run = Run(run_id(pretrain_config), "pretrain", pretrain_config)
        self.pretrained[run.id] = run
        return run

    def teacher(self, heads: int, pretraining: str, replicate: int) -> Run:
        cell, size = self.cell, self.entry.teacher
        teacher_config = {
            **self.shared,
            "kind": "teacher",
            "model": self.model(size, heads),
            "start": self.start(size, heads, pretraining, heads),
            "teacher": None,
            "pretraining": pretraining,
            "teacher_pretraining": None,
            "loss": _cross_entropy({"ce": 1.0}),
            "training": cell.teacher.model_dump(),
            "replicate": replicate,
            "controls": True,
            "seeds": self._seeds("teacher", heads, replicate),
            "versions": self._versions("ce"),
        }
        return Run(run_id(teacher_config), "teacher", teacher_config)

    def student(
        self,
        teacher: Run,
        source: Run,
        entry: LossEntry,
        name: str,
        heads: int,
        pretraining: str,
        replicate: int,
    ) -> Run:
        """source: what it learns from, the teacher or an assistant; name: of the student's size."""
        loss, teacher_heads = LOSSES[entry.name], teacher.config["model"]["heads"]
        size = self.student_sizes[name]
        student_config = {
            **self.shared,
            "kind": "student",
            "model": self.model(size, heads),
            "start": self.start(size, heads, pretraining, teacher_heads),
            "teacher": {
                "run_id": source.id if loss.reads else None,  # a `ce` student is not redone with its teacher
                "heads": teacher_heads,
                "assistant": entry.assistant.model_dump() if entry.assistant else None,
            },
            "pretraining": pretraining,
            "teacher_pretraining": teacher.config["pretraining"],
            "loss": self._loss(entry),
            "training": self.cell.student.model_dump(),
            "replicate": replicate,
            "controls": not loss.reads,
            "seeds": self._seeds("student", heads, replicate),
            "versions": self._versions(entry.name),
        }
        return Run(run_id(student_config), "student", student_config, teacher.id, name)

    def _loss(self, entry: LossEntry) -> dict[str, Any]:
        """What this loss uses: a changed attention weight must not redo runs without an attention term."""
        config, loss = self.config, LOSSES[entry.name]
        options = loss.complete(entry.options)
        weights = {**config.weights.model_dump(), **entry.weights}
        logit_temperature = {
            "none": None,
            "ce": options.get("temperature"),
            "logit_kd": config.logit_temperature,
        }
        return {
            "name": entry.name,
            "label": entry.shown_label,
            "options": options,
            "weights": {part: weights[part] for part in loss.weighted_parts},
            "logit_temperature": logit_temperature[loss.base],
            "sites": config.sites[self.cell.family] if loss.attention else [],
            "layer_map": config.layer_map if loss.attention else None,
        }

    def _seeds(self, kind: str, heads: int, replicate: int) -> dict[str, int]:
        """No part names the loss: all losses of one replicate share initial weights, data order and dropout.

        Nor does any name the pre-training condition, whose models differ in their weights only.
        """
        cell, number = self.cell, self.config.seed
        task = "pretraining" if kind == "pretrain" else cell.task
        where = (number, kind, cell.family, task, cell.dataset)
        return {
            "data_order": seed("data_order", *where, replicate),
            "init": seed("init", *where, heads, replicate),
            "dropout": seed("dropout", *where, heads, replicate),
            "blind": seed("blind", number, task, cell.dataset),
        }

    def _model_versions(self) -> dict[str, int]:
        cell = self.cell
        return {
            f"dataset:{cell.dataset}": DATASETS[cell.dataset].version,
            f"family:{cell.family}": FAMILIES[cell.family].version,
            "prepared": PREPARED_VERSION,
            "training": TRAINING_VERSION,
        }

    def _versions(self, loss: str) -> dict[str, int]:
        """Of everything that a run's numbers depend on."""
        metrics = metrics_of(self.cell.task, self.cell.dataset)
        return {
            **self._model_versions(),
            **{f"loss:{name}": LOSSES[name].version for name in LOSSES[loss].uses},
            **{f"metric:{name}": METRICS[name].version for name in metrics},
        }


def _cross_entropy(weights: dict[str, float]) -> dict[str, Any]:
    return {
        "name": "ce",
        "label": "ce",
        "options": {},
        "weights": weights,
        "logit_temperature": None,
        "sites": [],
        "layer_map": None,
    }
