"""A config as a list of runs: every combination that can be trained, and why the others cannot."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from itertools import cycle, product
from typing import Any

from amad_bench.plan.catalogue import (
    ANALYSIS_VERSION,
    DATASETS,
    FAMILIES,
    LOSSES,
    METRICS,
    PREPARED_VERSION,
    TRAINING_VERSION,
    metrics_of,
    model_shape,
)
from amad_bench.plan.cell_data import DataMissing, cell_config, cell_form
from amad_bench.plan.run import Run, run_id, short_hash
from amad_bench.plan.schema import Cell, Config, LossEntry, ModelSize
from amad_bench.plan.seeds import seed
from amad_bench.runtime.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Skip:
    """A combination that is left out. cell: its readable name; reason: one sentence."""

    cell: str
    reason: str
    family: str
    task: str
    dataset: str


@dataclass(frozen=True)
class Plan:
    """runs: teachers before the students that need them. name: the config's, no part of any identity.

    extra_metrics: those to be computed by one job for all runs.
    """

    runs: list[Run]
    skipped: list[Skip] = field(default_factory=list)
    name: str = ""
    extra_metrics: tuple[str, ...] = ()

    @cached_property
    def by_id(self) -> dict[str, Run]:
        return {run.id: run for run in self.runs}

    @cached_property
    def hash(self) -> str:
        """Changes exactly when the set of runs or of skipped combinations does, or how they are analysed."""
        skipped = sorted([skip.cell, skip.reason] for skip in self.skipped)
        parts = {"analysis": ANALYSIS_VERSION, "runs": sorted(self.by_id), "skipped": skipped}
        parts |= {"extra_metrics": self.extra_metrics}
        return short_hash(parts, 16)

    def run(self, identifier: str) -> Run:
        """UserError for an id that is not in the plan."""
        if identifier not in self.by_id:
            hint = did_you_mean(identifier, self.by_id)
            raise UserError(
                f"run {identifier!r} is not in this plan.{hint} `amad-bench plan --json` lists all ids"
            )
        return self.by_id[identifier]

    def as_dict(self) -> dict[str, list[dict[str, Any]]]:
        return {
            "runs": [{"id": run.id, "kind": run.kind, "config": run.config} for run in self.runs],
            "skipped": [{"cell": skip.cell, "reason": skip.reason} for skip in self.skipped],
        }


def expand(config: Config) -> Plan:
    """Every cell x head counts x pre-training x loss x replicate; students share their teachers.

    A cell whose data are missing is skipped with that reason. UserError when nothing is left to train.
    """
    teachers: dict[str, Run] = {}
    students: list[Run] = []
    skipped: list[Skip] = []
    for cell in config.cells:
        try:
            shared = cell_config(config, cell)
        except DataMissing as error:
            skipped.append(_skip(cell, "", str(error)))
            continue
        cell_teachers, cell_students, cell_skipped = _expand_cell(config, cell, shared)
        teachers |= cell_teachers
        students += cell_students
        skipped += cell_skipped
    if not students:
        reasons = "; ".join(dict.fromkeys(skip.reason for skip in skipped))
        raise UserError(f"{config.name}: the plan has no students, since everything is skipped: {reasons}")
    runs = [*teachers.values(), *students]
    repeated = [identifier for identifier, count in Counter(run.id for run in runs).items() if count > 1]
    if repeated:
        raise RuntimeError(f"two runs share an id: {', '.join(repeated)}")
    # Each pre-training pair skips alike, hence once.
    return Plan(runs, list(dict.fromkeys(skipped)), config.name, tuple(config.extra_metrics))


def run_count(config: Config, cell: Cell) -> int:
    """How many runs a cell has when its data are there."""
    teachers, students, _ = _expand_cell(config, cell, cell_form(config, cell))
    return len(teachers) + len(students)


def _expand_cell(
    config: Config, cell: Cell, shared: dict[str, Any]
) -> tuple[dict[str, Run], list[Run], list[Skip]]:
    """The cell's teachers by id, its students, and the losses that cannot be trained there."""
    teachers: dict[str, Run] = {}
    students: dict[str, Run] = {}
    skipped: list[Skip] = []
    axes = product(
        config.heads.teacher, config.pretraining.teacher, config.heads.student, config.pretraining.student
    )
    for teacher_heads, teacher_pretraining, heads, pretraining in axes:
        replicates = range(config.replicates if config.teacher_per == "replicate" else 1)
        own_teachers = [
            _teacher(config, cell, shared, teacher_heads, teacher_pretraining, replicate)
            for replicate in replicates
        ]
        for entry in config.losses:
            reason = _unsupported(config, cell, entry, own_teachers[0].config["model"], heads)
            if reason:
                skipped.append(_skip(cell, f"-h{teacher_heads}to{heads}-{entry.shown_label}", reason))
                continue
            teachers |= {teacher.id: teacher for teacher in own_teachers}
            for replicate, teacher in zip(range(config.replicates), cycle(own_teachers), strict=False):
                source = teacher
                if entry.assistant:
                    of_assistant = _labelled(config, entry.assistant.loss)
                    source = _student(
                        *(config, cell, shared, teacher, teacher, of_assistant),
                        *(entry.assistant.heads, pretraining, replicate),
                    )
                    students[source.id] = source
                student = _student(
                    config, cell, shared, teacher, source, entry, heads, pretraining, replicate
                )
                students[student.id] = student
    return teachers, list(students.values()), skipped


def _skip(cell: Cell, which: str, reason: str) -> Skip:
    """which: the part of the cell that is left out, "" for all of it."""
    axes = (cell.family, cell.task, cell.dataset)
    return Skip("-".join(axes) + which, reason, *axes)


def _labelled(config: Config, label: str) -> LossEntry:
    return next(entry for entry in config.losses if entry.shown_label == label)


def _unsupported(config: Config, cell: Cell, entry: LossEntry, teacher: dict[str, Any], heads: int) -> str:
    """Why a loss cannot be trained between this teacher and a student with `heads` heads; "" when it can."""
    student = _model(config, config.models[cell.family].student, heads)
    if entry.assistant:
        assistant = _model(config, config.models[cell.family].student, entry.assistant.heads)
        first = _labelled(config, entry.assistant.loss)
        if reason := _unsupported(config, cell, first, teacher, entry.assistant.heads):
            return f"its assistant cannot be trained: {reason}"
        teacher = assistant
    inputs = config.models[cell.family].inputs.model_dump()
    sites = config.sites.get(cell.family)
    teacher_shape, student_shape = (
        model_shape(cell.family, cell.task, model, inputs, sites) for model in (teacher, student)
    )
    supported, reason = LOSSES[entry.name].supports(teacher_shape, student_shape, entry.options)
    if supported:
        return ""
    return f"taught by its assistant: {reason}" if entry.assistant else reason


def _teacher(
    config: Config, cell: Cell, shared: dict[str, Any], heads: int, pretraining: str, replicate: int
) -> Run:
    teacher_config = {
        **shared,
        "kind": "teacher",
        "model": _model(config, config.models[cell.family].teacher, heads),
        "teacher": None,
        "pretraining": pretraining,
        "teacher_pretraining": None,
        "loss": _cross_entropy(weight=1.0),
        "training": cell.teacher.model_dump(),
        "replicate": replicate,
        "controls": True,
        "seeds": _seeds(config, cell, "teacher", heads, replicate),
        "versions": _versions(cell, "ce"),
    }
    return Run(run_id(teacher_config), "teacher", teacher_config)


def _student(
    config: Config,
    cell: Cell,
    shared: dict[str, Any],
    teacher: Run,
    source: Run,
    entry: LossEntry,
    heads: int,
    pretraining: str,
    replicate: int,
) -> Run:
    """source: what it learns from, the teacher or an assistant."""
    loss = LOSSES[entry.name]
    student_config = {
        **shared,
        "kind": "student",
        "model": _model(config, config.models[cell.family].student, heads),
        "teacher": {
            "run_id": source.id if loss.needs else None,  # a `ce` student is not redone with its teacher
            "heads": teacher.config["model"]["heads"],
            "assistant": entry.assistant.model_dump() if entry.assistant else None,
        },
        "pretraining": pretraining,
        "teacher_pretraining": teacher.config["pretraining"],
        "loss": _loss(config, cell, entry),
        "training": cell.student.model_dump(),
        "replicate": replicate,
        "controls": not loss.needs,
        "seeds": _seeds(config, cell, "student", heads, replicate),
        "versions": _versions(cell, entry.name),
    }
    return Run(run_id(student_config), "student", student_config, teacher.id)


def _model(config: Config, size: ModelSize, heads: int) -> dict[str, Any]:
    head_size = size.width // heads if config.fix == "inner_width" else size.head_size
    return {**size.model_dump(), "heads": heads, "head_size": head_size}


def _cross_entropy(weight: float) -> dict[str, Any]:
    return {
        "name": "ce",
        "label": "ce",
        "options": {},
        "weights": {"ce": weight},
        "logit_temperature": None,
        "sites": [],
        "layer_map": None,
    }


def _loss(config: Config, cell: Cell, entry: LossEntry) -> dict[str, Any]:
    """Only what this loss uses: a changed attention weight must not redo runs without an attention term."""
    loss = LOSSES[entry.name]
    options = loss.complete(entry.options)
    weights = {**config.weights.model_dump(), **entry.weights}
    logit_temperature = {"none": None, "ce": options.get("temperature"), "logit_kd": config.logit_temperature}
    return {
        "name": entry.name,
        "label": entry.shown_label,
        "options": options,
        "weights": {part: weights[part] for part in loss.weighted_parts},
        "logit_temperature": logit_temperature[loss.base],
        "sites": config.sites[cell.family] if loss.attention else [],
        "layer_map": config.layer_map if loss.attention else None,
    }


def _seeds(config: Config, cell: Cell, kind: str, heads: int, replicate: int) -> dict[str, int]:
    """No part names the loss: all losses of one replicate share initial weights, data order and dropout."""
    where = (config.seed, kind, cell.family, cell.task, cell.dataset)
    return {
        "data_order": seed("data_order", *where, replicate),
        "init": seed("init", *where, heads, replicate),
        "dropout": seed("dropout", *where, heads, replicate),
        "blind": seed("blind", config.seed, cell.task, cell.dataset),
    }


def _versions(cell: Cell, loss: str) -> dict[str, int]:
    """Of everything that a run's numbers depend on."""
    return {
        f"dataset:{cell.dataset}": DATASETS[cell.dataset].version,
        f"family:{cell.family}": FAMILIES[cell.family].version,
        **{f"loss:{name}": LOSSES[name].version for name in LOSSES[loss].uses},
        "prepared": PREPARED_VERSION,
        "training": TRAINING_VERSION,
        **{f"metric:{name}": METRICS[name].version for name in metrics_of(cell.task, cell.dataset)},
    }
