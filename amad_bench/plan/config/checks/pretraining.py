"""Whether every pre-training condition that is asked for can be reached."""

from collections.abc import Iterator

from amad_bench.plan.catalogue import DATASETS
from amad_bench.plan.config.inputs import PixelInputs, RegionInputs
from amad_bench.plan.config.models import ModelEntry, ModelSize
from amad_bench.plan.config.schema import Config
from amad_bench.plan.config.training import PretrainingTraining, Training


def check_pretraining(config: Config) -> Iterator[str]:
    """Messages without the file's name."""
    for family, by_condition in config.pretraining.training.items():
        for condition, training in by_condition.items():
            where = f"pretraining.training.{family}.{condition}"
            yield from _training(where, (family, condition) == ("blip", "vl"), training)
    named = dict.fromkeys(entry.family for entry in config.tasks)
    for name, entry in config.models.items():
        if name in named:
            yield from _reachable(config, name, entry)
        for role, key, size in entry.sizes:
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


def _training(where: str, contrast: bool, training: PretrainingTraining) -> Iterator[str]:
    """contrast: of BLIP, which tells an image's text from those of others."""
    yield from check_evaluations(where, training)
    if contrast and training.batch == 1:
        yield f"{where}.batch: 1 has no other image to tell an image from; raise it"
    if not contrast and training.momentum_distillation is not None:
        yield f"{where}.momentum_distillation: only for `vl` of blip; remove it"


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
    if "vl" not in wanted:
        return
    if name == "vlt5":
        if not entry.order_embedding:
            yield "models.vlt5.order_embedding: the `vl` weights of VL-T5 need it; write true"
        if entry.box_area != "official":
            yield "models.vlt5.box_area: the `vl` weights of VL-T5 need its own area of a box; write official"
    elif isinstance(entry.inputs, PixelInputs) and entry.inputs.colours != "clip":
        yield f"models.{name}.inputs.colours: the `vl` weights of BLIP need its own scale; write clip"


def _trained_here(config: Config) -> Iterator[str]:
    """Pre-training here is on data with captions and questions, for grounding with objects."""
    able = ", ".join(name for name, dataset in DATASETS.items() if dataset.pretrains)
    wanted = {*config.pretraining.teacher, *config.pretraining.student}
    grounded = False
    for index, task in enumerate(config.tasks):
        where, dataset = f"tasks[{index}].dataset", config.record(task.dataset)
        trained = wanted.intersection(config.pretraining.training.get(task.family, {}))
        if trained and not dataset.pretrains:
            yield (
                f"{where}: {task.dataset} has not both captions and questions, on which {task.family} would "
                f"be pre-trained; possible: {able}; or name checkpoints under models.{task.family}"
            )
        elif task.family == "vlt5" and "vl" in trained:
            grounded = True
            if not dataset.has_boxes:
                yield (
                    f"{where}: {task.dataset} does not say what is in an image's boxes, which `vl` of "
                    "vlt5 is trained on; use scenes, or name checkpoints under models.vlt5"
                )
    entry = config.models.get("vlt5")
    if grounded and entry:
        if not entry.order_embedding:
            yield (
                "models.vlt5.order_embedding: `vl` needs it: visual grounding names a region by its number; "
                "write true"
            )
        if not (isinstance(entry.inputs, RegionInputs) and entry.inputs.boxes == "file"):
            yield "models.vlt5.inputs.boxes: `vl` is trained on boxes of objects; write file"
