"""Whether every pre-training condition that is asked for can be reached."""

from collections.abc import Iterable, Iterator

from amad_bench.plan.catalogue import DATASETS, FAMILIES
from amad_bench.plan.catalogue.family import Need
from amad_bench.plan.catalogue.options import check_options
from amad_bench.plan.config.models import ModelEntry, ModelSize
from amad_bench.plan.config.schema import Config
from amad_bench.plan.config.training import PretrainingTraining, Training


def check_pretraining(config: Config) -> Iterator[str]:
    """Messages without the file's name."""
    for family, by_condition in config.pretraining.training.items():
        for condition, training in by_condition.items():
            where = f"pretraining.training.{family}.{condition}"
            yield from _training(where, family, condition, training)
    named = dict.fromkeys(entry.family for entry in config.tasks)
    for name, entry in config.models.items():
        if name in named:
            yield from _reachable(config, name, entry)
        for role, key, size in entry.sizes:
            for condition in sorted(set(size.checkpoints).difference(FAMILIES[name].pretraining)):
                yield f"models.{name}.{key}.checkpoints.{condition}: {name} has no such weights; remove them"
            yield from _cut(f"models.{name}.{key}", role, size)
        yield from _published(config, name, entry)
    yield from _trained_here(config)


def check_evaluations(where: str, training: Training) -> Iterator[str]:
    """Message on more validations than steps, of a training on a task, too."""
    if training.evaluations > training.steps:
        yield (
            f"{where}.evaluations: {training.evaluations} are more than the {training.steps} steps; "
            "lower them"
        )


def _training(where: str, family: str, condition: str, training: PretrainingTraining) -> Iterator[str]:
    yield from check_evaluations(where, training)
    record = FAMILIES[family].pretraining.get(condition)
    if record is None:
        yield f"{where}: {family} has no such pre-training; remove it"
        return
    if record.contrasts and training.batch == 1:
        yield f"{where}.batch: 1 has no other image to tell an image from; raise it"
    others = {
        key: f"only for `{name}` of {other.name}"
        for other in FAMILIES.values()
        for name, pretraining in other.pretraining.items()
        for key in pretraining.options
    }
    also = tuple(PretrainingTraining.model_fields)
    yield from check_options(where, training.given, record.options, also, others)


def _from_files(entry: ModelEntry, role: str, size: ModelSize, condition: str) -> bool:
    """Whether a model of this size starts from checkpoints: its own, or a student's from its teacher's."""
    from_teacher = role == "student" and size.cut != "none"
    return condition in size.checkpoints or (from_teacher and condition in entry.teacher.checkpoints)


def _reachable(config: Config, family: str, entry: ModelEntry) -> Iterator[str]:
    """Every model of the family has checkpoints for each condition of its role, or is trained here."""
    trained = config.pretraining.training.get(family, {})
    for role, key, size in entry.sizes:
        for condition in config.pretraining.of(role):
            if condition in ("none", *trained) or _from_files(entry, role, size, condition):
                continue
            yield (
                f"models.{family}.{key}.checkpoints.{condition}: missing; pretraining.{role} asks for it: "
                f"name the files, or say under pretraining.training.{family}.{condition} how to train them"
            )


def _cut(where: str, role: str, size: ModelSize) -> Iterator[str]:
    if role == "teacher" and size.cut != "none" and not size.checkpoints:
        yield (f"{where}.cut: {size.cut} cuts weights of another shape; name them under {where}.checkpoints")
    if "inherit_heads" in size.model_fields_set and size.cut != "inherit":
        yield f"{where}.inherit_heads: only for `cut: inherit`; remove it"


def _published(config: Config, name: str, entry: ModelEntry) -> Iterator[str]:
    """Published weights expect their own tokenizer, and after `vl` also images as they were shown there."""
    wanted = {
        condition
        for role, _, size in entry.sizes
        for condition in config.pretraining.of(role)
        if condition != "none" and _from_files(entry, role, size, condition)
    }
    for index, task in enumerate(config.tasks):
        if wanted and task.family == name and task.tokenizer is None:
            yield (
                f"tasks[{index}].tokenizer: missing; models.{name} starts from weights that know the words "
                "of their own tokenizer: name its folder instead of `vocabulary`"
            )
    for condition, record in FAMILIES[name].pretraining.items():
        if condition in wanted:
            yield from _unmet(name, entry, record.elsewhere)


def _unmet(family: str, entry: ModelEntry, needs: Iterable[Need]) -> Iterator[str]:
    options = entry.options(family)
    for need in needs:
        _, _, of_inputs = need.key.partition("inputs.")
        if of_inputs and entry.inputs.gives not in FAMILIES[family].inputs:
            continue  # said of the kind itself
        found = getattr(entry.inputs, of_inputs, None) if of_inputs else options[need.key]
        if found != need.value:
            yield f"models.{family}.{need.key}: {need.why}; write {str(need.value).lower()}"


def _trained_here(config: Config) -> Iterator[str]:
    """Pre-training here is on data with captions and questions, for grounding with objects."""
    able = ", ".join(name for name, dataset in DATASETS.items() if dataset.pretrains)
    described = ", ".join(name for name, dataset in DATASETS.items() if dataset.has_boxes)
    wanted = {*config.pretraining.teacher, *config.pretraining.student}
    unmet: dict[str, None] = {}
    for index, task in enumerate(config.tasks):
        where, dataset = f"tasks[{index}].dataset", config.record(task.dataset)
        trained = wanted.intersection(config.pretraining.training.get(task.family, {}))
        if trained and not dataset.pretrains:
            yield (
                f"{where}: {task.dataset} has not both captions and questions, on which {task.family} would "
                f"be pre-trained; possible: {able}; or name checkpoints under models.{task.family}"
            )
            continue
        for condition, record in FAMILIES[task.family].pretraining.items():
            if condition not in trained:
                continue
            if record.grounded and not dataset.has_boxes:
                yield (
                    f"{where}: {task.dataset} does not say what is in an image's boxes, which `{condition}` "
                    f"of {task.family} is trained on; use {described}, or name checkpoints under "
                    f"models.{task.family}"
                )
            if entry := config.models.get(task.family):
                unmet |= dict.fromkeys(_unmet(task.family, entry, record.here))
    yield from unmet
