"""The runs of a task entry: pre-trainings, teachers, students, each with its canonical config."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from amad_bench.plan.blocks import block_data, block_parts, has_own_images
from amad_bench.plan.catalogue import (
    FAMILIES,
    LOSSES,
    METRICS,
    PREPARED_VERSION,
    PRETRAINING_VERSION,
    SCHEDULES,
    TRAINING_VERSION,
    metrics_of,
)
from amad_bench.plan.config.losses import LossEntry
from amad_bench.plan.config.models import ModelSize, SideSize
from amad_bench.plan.config.schema import Config, TaskEntry
from amad_bench.plan.config.training import Training
from amad_bench.plan.run import Run
from amad_bench.plan.run_config import Block, DataSpec, Model, RunConfig, Seeds, Side, Start, Taught, UsedLoss
from amad_bench.plan.seeds import seed
from amad_bench.plan.task_data import checkpoints_hash, pretraining_data
from amad_bench.plan.teacher_outputs import outputs_of


class TaskRuns:
    """Maker of the runs of one task entry; `pretrained` gathers, by id, the pre-trainings they start from.

    data: with hashes or, where the runs are only counted, without. Runs are made for a block; it names them
    only where blocks do not share them.
    """

    def __init__(self, config: Config, entry: TaskEntry, data: DataSpec) -> None:
        self.config, self.entry, self.data = config, entry, data
        self.models = config.models[entry.family]
        self.pretrained: dict[str, Run] = {}
        self._checkpoints_hash = cache(checkpoints_hash)  # hashing again for each run would take long
        self._own_images = has_own_images(config, entry.dataset)
        self._data_of = cache(self._data)
        self._pretraining_data_of = cache(self._pretraining_data)
        self.teachers = cache(self._teachers)

    def _data(self, images: Block | None) -> DataSpec:
        """images: the block that has images of its own."""
        return block_data(self.config, self.entry, self.data, images) if images else self.data

    def _pretraining_data(self, images: Block | None) -> DataSpec:
        return pretraining_data(self.config, self.entry, self._data_of(images))

    def _with_own_images(self, block: Block) -> Block | None:
        return block if self._own_images else None

    def _with_own_runs(self, block: Block) -> Block | None:
        return block if self._own_images or self.config.teacher_per == "block" else None

    def model(self, size: ModelSize, heads: int) -> Model:
        """The canonical config's `model`; heads: of the sides that are compared."""
        swept = self.config.swept_sides(self.entry.family, size)
        sides = {
            name: _side(side, heads if name in swept or not side.heads else side.heads[0], size.head_size)
            for name, side in size.sides.items()
        }
        compared = sides[swept[0]]
        return Model(
            **compared.model_dump(),
            dropout=size.dropout,
            options=self.models.options(self.entry.family),
            other_sides={name: side for name, side in sides.items() if side != compared},
        )

    def uncuttable(self, size: ModelSize, heads: int, condition: str, teacher_heads: int) -> str:
        """Reason why this student cannot be cut from the teacher's weights; "" when it can, or need not."""
        if condition == "none" or size.cut == "none" or condition in size.checkpoints:
            return ""
        model, teacher = self.model(size, heads), self.model(self.models.teacher, teacher_heads)
        for name in FAMILIES[self.entry.family].sides or ("",):
            if reason := _uncuttable(size.cut, model.side(name), teacher.side(name)):
                return reason + (f" ({name})" if model.other_sides or teacher.other_sides else "")
        return ""

    def start(self, size: ModelSize, heads: int, condition: str, block: Block) -> Start | None:
        """The weights that a model starts from, None for random ones; DataMissing for absent checkpoints."""
        if condition == "none":
            return None
        inherit_heads = size.inherit_heads if size.cut == "inherit" else None
        own = size.cut == "none"
        paths = size.checkpoints.get(condition)
        if not paths and not own:
            paths = self.models.teacher.checkpoints.get(condition)
        if paths:
            known = None if self.data.dataset.hash is None else self._checkpoints_hash(tuple(paths))
            return Start(cut=size.cut, inherit_heads=inherit_heads, checkpoints=sorted(paths), hash=known)
        source = (size, heads) if own else (self.models.teacher, block.teacher_heads)
        pretrained = self._pretrain(*source, condition, self._with_own_images(block))
        return Start(cut=size.cut, inherit_heads=inherit_heads, run_id=pretrained.id)

    def _run(self, data: DataSpec, **parts: object) -> RunConfig:
        shared = {name: getattr(data, name) for name in DataSpec.model_fields}
        shared |= {"precision": self.config.precision, "heads_keep": self.config.heads.keep}
        return RunConfig.model_validate(shared | parts)

    def _pretrain(self, size: ModelSize, heads: int, condition: str, images: Block | None) -> Run:
        """images: the block that has images of its own; others share their pre-trainings."""
        training = self.config.pretraining.training[self.entry.family][condition]
        record = FAMILIES[self.entry.family].pretraining[condition]
        config = self._run(
            self._pretraining_data_of(images),
            kind="pretrain",
            decoding=None,
            model=self.model(size, heads),
            start=None,
            teacher=None,
            pretraining=condition,
            teacher_pretraining=None,
            loss=_cross_entropy("pretrain", {}),
            training=Training(**training.model_dump(include=set(Training.model_fields))),
            pretraining_options=record.complete(training.given),
            replicate=0,
            block=images,
            controls=False,
            seeds=self._seeds("pretrain", heads, 0, images),
            versions={**self._model_versions(training), "pretraining": PRETRAINING_VERSION},
        )
        run = Run(config.run_id, config)
        self.pretrained[run.id] = run
        return run

    def _teachers(self, block: Block, condition: str) -> list[Run]:
        """The teachers of a block with this condition: one for all replicates, or one each."""
        each = self.config.teacher_per == "replicate"
        replicates = self.config.replicates_of(self.entry) if each else 1
        return [self._teacher(block, condition, replicate) for replicate in range(replicates)]

    def _teacher(self, block: Block, condition: str, replicate: int) -> Run:
        size, heads, own = self.models.teacher, block.teacher_heads, self._with_own_runs(block)
        config = self._run(
            self._data_of(self._with_own_images(block)),
            kind="teacher",
            decoding=self.entry.decoding,
            model=self.model(size, heads),
            start=self.start(size, heads, condition, block),
            teacher=None,
            pretraining=condition,
            teacher_pretraining=None,
            loss=_cross_entropy("ce", {"ce": 1.0}),
            training=self.entry.teacher,
            pretraining_options={},
            replicate=replicate,
            block=own,
            controls=True,
            seeds=self._seeds("teacher", heads, replicate, own),
            versions=self._versions("ce", self.entry.teacher),
        )
        return Run(config.run_id, config)

    def student(
        self,
        teacher: Run,
        source: Run,
        entry: LossEntry,
        block: Block,
        heads: int,
        condition: str,
        replicate: int,
    ) -> Run:
        """A student of the block, or with other `heads` an assistant in it.

        source: what it learns from, the teacher or an assistant. Without a teacher (`ce`) it is one run for
        all the teachers of its block, and for all budgets.
        """
        loss, own = LOSSES[entry.name], self._with_own_runs(block)
        size = self.models.student_sizes[block.student]
        model, used = self.model(size, heads), self._loss(entry)
        outputs = outputs_of(self.config, self.entry, source.config.model, model, used)
        config = self._run(
            self._data_of(self._with_own_images(block)),
            kind="student",
            decoding=self.entry.decoding,
            model=model,
            start=self.start(size, heads, condition, block),
            teacher=Taught(
                run_id=source.id if loss.reads else None,
                heads=block.teacher_heads,
                assistant=entry.assistant,
                outputs=outputs if loss.reads else None,
            ),
            pretraining=condition,
            teacher_pretraining=teacher.config.pretraining if loss.reads else None,
            loss=used,
            training=self.entry.student,
            pretraining_options={},
            replicate=replicate,
            block=own,
            controls=not loss.reads,
            seeds=self._seeds("student", heads, replicate, own),
            versions=self._versions(entry.name, self.entry.student, entry.options),
        )
        return Run(config.run_id, config, teacher.id if loss.reads else None, block.student, "steps")

    def _loss(self, entry: LossEntry) -> UsedLoss:
        """The loss with what it uses: a changed attention weight redoes no run without an attention term."""
        config, loss = self.config, LOSSES[entry.name]
        options = loss.complete(entry.options)
        loss_weights = {**config.loss_weights.model_dump(), **entry.loss_weights}
        logit_temperature = {
            "none": None,
            "ce": options.get("temperature"),
            "logit_kd": config.logit_temperature,
        }
        return UsedLoss(
            name=entry.name,
            label=entry.shown_label,
            options=options,
            loss_weights={part: loss_weights[part] for part in loss.weighted_parts},
            logit_temperature=logit_temperature[loss.base],
            sites=config.sites[self.entry.family] if loss.attention else [],
            layer_map=config.layer_map if loss.attention else None,
        )

    def _seeds(self, kind: str, heads: int, replicate: int, own: Block | None) -> Seeds:
        """No part names the loss: all losses of one replicate share initial weights, data order and dropout.

        Nor does any name the pre-training condition, whose models differ in their weights only. own: the
        block that shares no run; all its seeds are its own, so that blocks are independent.
        """
        number, (family, task, dataset) = self.config.seed, self.entry.axes
        block = ("block", task, *block_parts(own)) if own else ()
        task = "pretraining" if kind == "pretrain" else task
        where = (number, kind, family, task, dataset, *block)
        return Seeds(
            data_order=seed("data_order", *where, replicate),
            init=seed("init", *where, heads, replicate),
            dropout=seed("dropout", *where, heads, replicate),
            blind=seed("blind", number, task, dataset),
        )

    def _model_versions(self, training: Training) -> dict[str, int]:
        family, _, dataset = self.entry.axes
        return {
            f"dataset:{dataset}": self.config.record(dataset).version,
            f"family:{family}": FAMILIES[family].version,
            f"schedule:{training.schedule}": SCHEDULES[training.schedule].version,
            "prepared": PREPARED_VERSION,
            "training": TRAINING_VERSION,
        }

    def _versions(
        self, loss: str, training: Training, options: Mapping[str, Any] = MappingProxyType({})
    ) -> dict[str, int]:
        """Versions of everything that a run's numbers depend on."""
        metrics = metrics_of(self.entry.task, self.config.record(self.entry.dataset))
        return {
            **self._model_versions(training),
            **{f"loss:{name}": LOSSES[name].version for name in LOSSES[loss].uses},
            **LOSSES[loss].versions(options),
            **{f"metric:{name}": METRICS[name].version for name in metrics},
        }


def _side(size: SideSize, heads: int, head_size: int | None) -> Side:
    return Side(
        layers=size.layers,
        width=size.width,
        feed_forward=size.feed_forward,
        heads=heads,
        head_size=head_size or size.width // heads,
    )


def _uncuttable(cut: str, student: Side, teacher: Side) -> str:
    """Reason why this side of a student cannot be cut from the teacher's; "" when it can."""
    if cut == "remap":
        if student.heads * student.head_size != teacher.heads * teacher.head_size:
            return "cut: remap keeps the inner width (heads x head size), the teacher has another one"
        if student.width != teacher.width:
            return "cut: remap keeps the width, the teacher has another one"
        if student.feed_forward != teacher.feed_forward:
            return "cut: remap keeps the feed-forward, the teacher has another one"
    sizes = ("layers",) if cut == "remap" else ("layers", "width", "feed_forward", "heads")
    larger = [key for key in sizes if getattr(student, key) > getattr(teacher, key)]
    return f"cut: {cut} cuts the teacher's weights, and the student has more {larger[0]}" if larger else ""


def _cross_entropy(label: str, loss_weights: dict[str, float]) -> UsedLoss:
    return UsedLoss(
        name="ce",
        label=label,
        options={},
        loss_weights=loss_weights,
        logit_temperature=None,
        sites=[],
        layer_map=None,
    )
