"""A config as a list of runs: every combination that can be trained, and why the others cannot."""

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import cycle, product
from typing import Any

from amad_bench.plan.catalogue import ANALYSIS_VERSION, LOSSES, model_shape
from amad_bench.plan.cell_data import DataMissing, cell_config, cell_form
from amad_bench.plan.cell_runs import CellRuns
from amad_bench.plan.run import Run, short_hash
from amad_bench.plan.schema import Cell, Config, LossEntry, ModelSize
from amad_bench.runtime.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Skip:
    """A combination that is left out. cell: its readable name; reason: one sentence.

    absent: only as long as data or weights are not there.
    """

    cell: str
    reason: str
    family: str
    task: str
    dataset: str
    absent: bool = False


@dataclass(frozen=True)
class Plan:
    """runs: those that others need come first. name: the config's, no part of any identity.

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


class NothingToTrain(UserError):
    """Every combination is skipped. skipped: each with its reason."""

    def __init__(self, name: str, skipped: list[Skip]) -> None:
        reasons = "; ".join(dict.fromkeys(skip.reason for skip in skipped))
        super().__init__(f"{name}: the plan has no students, since everything is skipped: {reasons}")
        self.skipped = skipped

    def __reduce__(self) -> tuple[Any, ...]:
        return UserError, self.args


def expand(config: Config) -> Plan:
    """Every cell x head counts x pre-training x loss x replicate.

    Students share their teachers, and models their pre-training. A cell whose data are missing is skipped
    with that reason, and so is a model whose weights are. NothingToTrain when nothing is left.
    """
    first: dict[str, Run] = {}
    teachers: dict[str, Run] = {}
    students: list[Run] = []
    skipped: list[Skip] = []
    for cell in config.cells:
        try:
            shared = cell_config(config, cell)
        except DataMissing as error:
            skipped.append(_skip(cell, "", str(error), absent=True))
            continue
        found = _expand_cell(CellRuns(config, cell, shared))
        first |= found.pretrained
        teachers |= found.teachers
        students += found.students.values()
        skipped += found.skipped
    if not students:
        raise NothingToTrain(config.name, skipped)
    runs = [*first.values(), *teachers.values(), *students]
    repeated = [identifier for identifier, count in Counter(run.id for run in runs).items() if count > 1]
    if repeated:
        raise RuntimeError(f"two runs share an id: {', '.join(repeated)}")
    # Some skip alike for each pre-training pair, hence once.
    return Plan(runs, list(dict.fromkeys(skipped)), config.name, tuple(config.extra_metrics))


def possible_plan(config: Config) -> Plan:
    """As `expand`, were all data and weights there: to be looked at, since the ids are not final."""
    found = [_expand_cell(CellRuns(config, cell, cell_form(config, cell))) for cell in config.cells]
    kinds = [dict[str, Run](), dict[str, Run](), dict[str, Run]()]
    for of_cell in found:
        for kind, runs in zip(kinds, (of_cell.pretrained, of_cell.teachers, of_cell.students), strict=True):
            kind |= runs
    skipped = dict.fromkeys(skip for of_cell in found for skip in of_cell.skipped)
    return Plan([run for kind in kinds for run in kind.values()], list(skipped), config.name)


def possible_runs(config: Config, cell: Cell) -> list[Run]:
    """The runs that a cell has when its data and weights are there; their ids are not final."""
    found = _expand_cell(CellRuns(config, cell, cell_form(config, cell)))
    return [*found.pretrained.values(), *found.teachers.values(), *found.students.values()]


@dataclass(frozen=True)
class _Found:
    """A cell's runs by id, and the combinations that cannot be trained there."""

    pretrained: dict[str, Run] = field(default_factory=dict)
    teachers: dict[str, Run] = field(default_factory=dict)
    students: dict[str, Run] = field(default_factory=dict)
    skipped: list[Skip] = field(default_factory=list)


def _expand_cell(runs: CellRuns) -> _Found:
    config, found = runs.config, _Found()
    replicates = range(config.replicates if config.teacher_per == "replicate" else 1)
    for heads, pretraining in product(runs.teacher_heads, config.pretraining.teacher):
        try:
            teachers = [runs.teacher(heads, pretraining, replicate) for replicate in replicates]
        except DataMissing as error:
            which = f"-h{heads}-teacher-{pretraining}"
            found.skipped.append(_skip(runs.cell, which, str(error), absent=True))
            continue
        _expand_students(runs, teachers, found)
    needed = {wanted for run in (*found.teachers.values(), *found.students.values()) for wanted in run.needs}
    return replace(found, pretrained={key: run for key, run in runs.pretrained.items() if key in needed})


def _expand_students(runs: CellRuns, teachers: list[Run], found: _Found) -> None:
    """Adds a teacher's students, and the teacher; there may be one of it per replicate."""
    config, cell = runs.config, runs.cell
    teacher_heads = teachers[0].config["model"]["heads"]
    axes = [(name, heads) for name, size in runs.student_sizes.items() for heads in runs.heads_of(size)]
    for (name, heads), pretraining in product(axes, config.pretraining.student):
        size = runs.student_sizes[name]
        which = f"-h{teacher_heads}to{heads}-{f'{name}-' if name else ''}"
        if reason := runs.uncuttable(size, heads, pretraining, teacher_heads):
            found.skipped.append(_skip(cell, f"{which}{pretraining}", reason))
            continue
        try:
            runs.start(size, heads, pretraining, teacher_heads)
        except DataMissing as error:
            found.skipped.append(_skip(cell, f"{which}{pretraining}", str(error), absent=True))
            continue
        for entry in config.losses:
            reason = _unsupported(runs, entry, teachers[0].config["model"], size, heads)
            if entry.assistant and not reason:
                uncuttable = runs.uncuttable(size, entry.assistant.heads, pretraining, teacher_heads)
                reason = uncuttable and f"its assistant: {uncuttable}"
            if reason:
                found.skipped.append(_skip(cell, f"{which}{entry.shown_label}", reason))
                continue
            found.teachers.update({teacher.id: teacher for teacher in teachers})
            for replicate, teacher in zip(range(config.replicates), cycle(teachers), strict=False):
                source = teacher
                if entry.assistant:
                    of_assistant = _labelled(config, entry.assistant.loss)
                    source = runs.student(
                        *(teacher, teacher, of_assistant),
                        *(name, entry.assistant.heads, pretraining, replicate),
                    )
                    found.students[source.id] = source
                student = runs.student(teacher, source, entry, name, heads, pretraining, replicate)
                found.students[student.id] = student


def _skip(cell: Cell, which: str, reason: str, absent: bool = False) -> Skip:
    """which: the part of the cell that is left out, "" for all of it."""
    axes = (cell.family, cell.task, cell.dataset)
    return Skip("-".join(axes) + which, reason, *axes, absent)


def _labelled(config: Config, label: str) -> LossEntry:
    return next(entry for entry in config.losses if entry.shown_label == label)


def _unsupported(
    runs: CellRuns, entry: LossEntry, teacher: dict[str, Any], size: ModelSize, heads: int
) -> str:
    """Why a loss cannot be trained between this teacher and a student with `heads` heads; "" when it can."""
    config, cell = runs.config, runs.cell
    student = runs.model(size, heads)
    if entry.assistant:
        assistant = runs.model(size, entry.assistant.heads)
        first = _labelled(config, entry.assistant.loss)
        if reason := _unsupported(runs, first, teacher, size, entry.assistant.heads):
            return f"its assistant cannot be trained: {reason}"
        teacher = assistant
    inputs = config.inputs_of(cell).model_dump()
    sites = config.sites.get(cell.family)
    teacher_shape, student_shape = (
        model_shape(cell.family, cell.task, model, inputs, sites) for model in (teacher, student)
    )
    supported, reason = LOSSES[entry.name].supports(teacher_shape, student_shape, entry.options)
    if supported:
        return ""
    return f"taught by its assistant: {reason}" if entry.assistant else reason
