"""A config as a list of runs: every combination that can be trained, and why the others cannot."""

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import cycle, product

from amad_bench.plan.catalogue import LOSSES, model_shape
from amad_bench.plan.claims.load import registered_claims
from amad_bench.plan.config.losses import LossEntry
from amad_bench.plan.config.models import ModelSize
from amad_bench.plan.config.schema import Config, TaskEntry
from amad_bench.plan.cost.equal_flops import TooFewSteps, at_equal_flops
from amad_bench.plan.plan import NothingToTrain, Plan, Skip
from amad_bench.plan.run import SHARED, Run
from amad_bench.plan.run_config import Block, Model, RunConfig, readable_prefix
from amad_bench.plan.task_data import DataMissing, planned_data, present_data
from amad_bench.plan.task_runs import TaskRuns
from amad_bench.runtime.errors import UserError


def expand(config: Config) -> Plan:
    """Every task entry x head counts x pre-training x loss x replicate.

    Students share their teachers, and models their pre-training. An entry whose data are missing is skipped
    with that reason, and so is a model whose checkpoints are. NothingToTrain when nothing is left.
    """
    found: list[_Found] = []
    skipped: list[Skip] = []
    for entry in config.tasks:
        try:
            data = present_data(config, entry)
        except DataMissing as error:
            skipped.append(_skip(entry, "", str(error), absent=True))
            continue
        found.append(_expand_entry(TaskRuns(config, entry, data)))
        skipped += found[-1].skipped
    if not any(of_entry.students for of_entry in found):
        raise NothingToTrain(config.name, skipped)
    return _plan(config, found, skipped)


def possible_plan(config: Config) -> Plan:
    """The plan, were all data and checkpoints there: to be looked at, since its ids are not final."""
    found = [_expand_entry(TaskRuns(config, entry, planned_data(config, entry))) for entry in config.tasks]
    return _plan(config, found, [skip for of_entry in found for skip in of_entry.skipped])


def possible_runs(config: Config, entry: TaskEntry) -> list[Run]:
    """The runs that an entry has when its data and checkpoints are there; their ids are not final."""
    return _expand_entry(TaskRuns(config, entry, planned_data(config, entry))).runs


def find_run(config: Config, run_id: str) -> Run:
    """The run of that id, found without planning the others; UserError for an id that is not in the plan."""
    prefix = run_id.rpartition("-")[0]
    for entry in config.tasks:
        if not prefix.startswith((f"{entry.family}-{entry.task}-", f"{entry.family}-pretraining-")):
            continue
        try:
            runs = TaskRuns(config, entry, present_data(config, entry))
        except DataMissing:
            continue
        # Which pre-trainings are needed is known only when all students are.
        only = None if prefix.startswith(f"{entry.family}-pretraining-") else prefix
        for run in _expand_entry(runs, only).runs:
            if run.id == run_id:
                return run
    return expand(config).run(run_id)  # which knows what was meant


def find_data(config: Config, key: str) -> RunConfig:
    """The config of a run whose prepared data are named so, without planning what reads other data sets.

    UserError for a name that is not in the plan.
    """
    for entry in config.tasks:
        if not key.startswith(f"{entry.dataset}-"):
            continue
        try:
            runs = _expand_entry(TaskRuns(config, entry, present_data(config, entry))).runs
        except DataMissing:
            continue
        if run := next((run for run in runs if run.data_key == key), None):
            return run.config
    known = dict.fromkeys(run.data_key for run in expand(config).runs)  # or why there are none
    raise UserError(f"--key {key!r}: not in this plan; its keys: {', '.join(known)}")


@dataclass(frozen=True)
class _Found:
    """An entry's runs by id, and the combinations that cannot be trained there.

    compared: ids of the students that are more than assistants.
    """

    pretrained: dict[str, Run] = field(default_factory=dict[str, Run])
    teachers: dict[str, Run] = field(default_factory=dict[str, Run])
    students: dict[str, Run] = field(default_factory=dict[str, Run])
    skipped: list[Skip] = field(default_factory=list[Skip])
    compared: set[str] = field(default_factory=set[str])

    @property
    def runs(self) -> list[Run]:
        return [*self.pretrained.values(), *self.teachers.values(), *self.students.values()]

    def add_student(self, student: Run, assists: bool = False) -> None:
        """One that several sizes share, which differ in what it does not use, carries all their names.

        A size that it only assists lends none to a student of another: that is compared under its own.
        """
        known, compared = self.students.get(student.id), student.id in self.compared
        if assists and compared:
            return
        if known and assists != compared:
            names = dict.fromkeys([*known.student_name.split(SHARED), student.student_name])
            student = replace(student, student_name=SHARED.join(names))
        self.students[student.id] = student
        if not assists:
            self.compared.add(student.id)


def _plan(config: Config, found: list[_Found], skipped: list[Skip]) -> Plan:
    pretrained = {key: run for of_entry in found for key, run in of_entry.pretrained.items()}
    teachers = {key: run for of_entry in found for key, run in of_entry.teachers.items()}
    runs = [*pretrained.values(), *teachers.values()]
    runs += [student for of_entry in found for student in of_entry.students.values()]
    repeated = [identifier for identifier, count in Counter(run.id for run in runs).items() if count > 1]
    if repeated:
        raise RuntimeError(f"two runs share an id: {', '.join(repeated)}")
    # Some skip alike for each pre-training pair, hence once.
    skips = list(dict.fromkeys(skipped))
    return Plan(runs, skips, config.name, tuple(config.extra_metrics), registered_claims(config.claims))


def _expand_entry(runs: TaskRuns, only: str | None = None) -> _Found:
    """only: the readable prefix of the students that are made; the others are passed over."""
    config, found = runs.config, _Found()
    family, sizes = runs.entry.family, runs.models.student_sizes
    teacher_heads = config.heads_of(family, "teacher", runs.models.teacher)
    students = [
        (name, heads) for name, size in sizes.items() for heads in config.heads_of(family, "student", size)
    ]
    for heads, condition, student in product(teacher_heads, config.pretraining.teacher, students):
        block = Block(teacher_heads=heads, student=student[0], student_heads=student[1])
        if not _asks(runs, block, teacher_pretraining=condition):
            continue
        try:
            teachers = runs.teachers(block, condition)
        except DataMissing as error:
            which = f"-h{heads}-teacher-{condition}"
            found.skipped.append(_skip(runs.entry, which, str(error), absent=True))
            continue
        _expand_students(runs, block, teachers, found, only)
    needed = {
        wanted for run in (*found.teachers.values(), *found.students.values()) for wanted in run.prerequisites
    }
    return replace(found, pretrained={key: run for key, run in runs.pretrained.items() if key in needed})


def _expand_students(
    runs: TaskRuns, block: Block, teachers: list[Run], found: _Found, only: str | None
) -> None:
    """Adds a block's students of one teacher, and the teacher; there may be one of it per replicate."""
    config, entry = runs.config, runs.entry
    teacher_heads, name, heads = block.teacher_heads, block.student, block.student_heads
    size = runs.models.student_sizes[name]
    taught_after = teachers[0].config.pretraining
    for condition in config.student_pretraining_of(entry):
        conditions = {"teacher_pretraining": taught_after, "student_pretraining": condition}
        if not _asks(runs, block, **conditions):
            continue
        which = f"-h{teacher_heads}to{heads}-{f'{name}-' if name else ''}"
        if reason := runs.uncuttable(size, heads, condition, teacher_heads):
            found.skipped.append(_skip(entry, f"{which}{condition}", reason))
            continue
        try:
            runs.start(size, heads, condition, block)
        except DataMissing as error:
            found.skipped.append(_skip(entry, f"{which}{condition}", str(error), absent=True))
            continue
        for loss in config.losses:
            if not _asks(runs, block, **conditions, losses=loss.shown_label):
                continue
            reason = _unsupported(runs, loss, teachers[0].config.model, size, heads)
            if loss.assistant and not reason:
                uncuttable = runs.uncuttable(size, loss.assistant.heads, condition, teacher_heads)
                reason = uncuttable and f"its assistant: {uncuttable}"
            if reason:
                found.skipped.append(_skip(entry, f"{which}{loss.shown_label}", reason))
                continue
            found.teachers.update({teacher.id: teacher for teacher in teachers})
            for replicate, teacher in zip(range(config.replicates_of(entry)), cycle(teachers), strict=False):
                _add_student(runs, teacher, loss, (block, condition, replicate), found, only)


def _asks(runs: TaskRuns, block: Block, **axes: str) -> bool:
    """Whether the config's grid has a combination of this block with these values of some axes."""
    heads = [block.teacher_heads, block.student_heads]
    return runs.config.asks(families=runs.entry.family, tasks=runs.entry.task, heads=heads, **axes)


def _budgets(runs: TaskRuns, teacher: Run, loss: LossEntry, block: Block, condition: str) -> list[str]:
    """The budgets with which a loss is trained: without a teacher all that this student has, in one run."""
    axes = {"student_pretraining": condition}
    if LOSSES[loss.name].reads:
        axes |= {"losses": loss.shown_label, "teacher_pretraining": teacher.config.pretraining}
    return [budget for budget in runs.config.budgets if _asks(runs, block, budgets=budget, **axes)]


def _add_student(
    runs: TaskRuns,
    teacher: Run,
    loss: LossEntry,
    which: tuple[Block, str, int],
    found: _Found,
    only: str | None,
) -> None:
    """which: block, the student's pre-training condition, replicate."""
    block, condition, replicate = which
    source, heads = teacher, block.student_heads

    def wanted(student_heads: int, entry: LossEntry) -> bool:
        taught_after = teacher.config.pretraining if LOSSES[entry.name].reads else None
        counts, conditions = (block.teacher_heads, student_heads), (taught_after, condition)
        where = runs.entry.family, runs.entry.task
        return only in (None, readable_prefix(*where, counts, entry.shown_label, conditions, replicate))

    asked = wanted(heads, loss)
    if loss.assistant:
        first = _labelled(runs.config, loss.assistant.loss)
        if asked or wanted(loss.assistant.heads, first):
            source = runs.student(teacher, teacher, first, block, loss.assistant.heads, condition, replicate)
            found.add_student(source, assists=True)
    if asked:
        student = runs.student(teacher, source, loss, block, heads, condition, replicate)
        budgets = _budgets(runs, teacher, loss, block, condition)
        if not LOSSES[loss.name].reads:
            found.add_student(replace(student, budget=SHARED.join(budgets)))
            return
        if "steps" in budgets:
            found.add_student(student)
        if "flops" in budgets:
            try:
                found.add_student(at_equal_flops(student, source, teacher))
            except TooFewSteps as error:
                name = f"{block.student}-" if block.student else ""
                label = f"-h{block.teacher_heads}to{heads}-{name}{loss.shown_label}-flops"
                found.skipped.append(_skip(runs.entry, label, str(error)))


def _skip(entry: TaskEntry, which: str, reason: str, absent: bool = False) -> Skip:
    """which: the part of the entry that is left out, "" for all of it."""
    return Skip("-".join(entry.axes) + which, reason, *entry.axes, absent)


def _labelled(config: Config, label: str) -> LossEntry:
    return next(entry for entry in config.losses if entry.shown_label == label)


def _unsupported(runs: TaskRuns, loss: LossEntry, teacher: Model, size: ModelSize, heads: int) -> str:
    """Reason why a loss cannot be trained with this teacher and so many student heads; "" when it can."""
    config, entry = runs.config, runs.entry
    if loss.assistant:
        first = _labelled(config, loss.assistant.loss)
        if reason := _unsupported(runs, first, teacher, size, loss.assistant.heads):
            return f"its assistant cannot be trained: {reason}"
        teacher = runs.model(size, loss.assistant.heads)
    inputs, sites = config.inputs_of(entry), config.sites.get(entry.family)
    taught, student = (
        model_shape(entry.family, entry.task, model, inputs.tokens, sites)
        for model in (teacher, runs.model(size, heads))
    )
    supported, reason = LOSSES[loss.name].supports(taught, student, loss.options)
    if supported:
        return ""
    return f"taught by its assistant: {reason}" if loss.assistant else reason
