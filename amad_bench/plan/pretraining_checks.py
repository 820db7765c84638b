"""What a config says about pre-training: every condition that is asked for must be reachable."""

from collections.abc import Iterator, Mapping
from typing import Any

from amad_bench.plan.catalogue import DATASETS, FAMILIES, PRETRAINING
from amad_bench.plan.model_checks import ROLES, sizes
from amad_bench.plan.raw import cells_of, entries_at, is_count, list_at, mapping_at, repeated, unknown_name

REACHED = PRETRAINING[1:]  # conditions that need weights: `none` is random weights
RANDOM = "`none` means random weights"


def check_pretraining(raw: Mapping[Any, Any]) -> Iterator[str]:
    """Messages without the file's name."""
    for role in ROLES:
        values = list_at(raw, "pretraining", role)
        yield from repeated(f"pretraining.{role}", values)
        for index, value in enumerate(values):
            if isinstance(value, str) and value not in PRETRAINING:
                yield unknown_name(f"pretraining.{role}[{index}]", "pre-training", value, PRETRAINING)
    yield from _training(raw)
    named = [cell.get("family") for _, cell in cells_of(raw)]
    for family in dict.fromkeys(name for name in named if isinstance(name, str) and name in FAMILIES):
        yield from _reachable(raw, family)
    for name, entry in entries_at(raw, "models"):
        for _, key, size in sizes(entry):
            yield from _size(f"models.{name}.{key}", key, size)
        yield from _published(raw, name, entry)
    yield from _cells(raw)


def _conditions(where: str, given: Mapping[Any, Any]) -> Iterator[str]:
    for condition in given:
        if condition == "none":
            yield f"{where}.none: {RANDOM}; remove it"
        elif isinstance(condition, str) and condition not in REACHED:
            yield unknown_name(f"{where}.{condition}", "pre-training", condition, REACHED)


def _training(raw: Mapping[Any, Any]) -> Iterator[str]:
    for family, conditions in entries_at(raw, "pretraining", "training"):
        where = f"pretraining.training.{family}"
        if family not in FAMILIES:
            yield unknown_name(where, "family", family, FAMILIES)
        elif isinstance(conditions, Mapping):
            yield from _conditions(where, conditions)
            for condition, training in entries_at(conditions):
                yield from _one_training(
                    f"{where}.{condition}", (family, condition) == ("blip", "vl"), training
                )


def _one_training(where: str, contrast: bool, training: Any) -> Iterator[str]:
    """contrast: of BLIP, which tells an image's text from those of others."""
    steps, evaluations, batch = (mapping_at(training).get(key) for key in ("steps", "evaluations", "batch"))
    if is_count(steps) and is_count(evaluations) and evaluations > steps:
        yield f"{where}.evaluations: {evaluations} are more than the {steps} steps; lower them"
    if contrast and batch == 1:
        yield f"{where}.batch: 1 has no other image to tell an image from; raise it"
    if not contrast and mapping_at(training).get("momentum_distillation") is not None:
        yield f"{where}.momentum_distillation: only for `vl` of blip; remove it"


def _reachable(raw: Mapping[Any, Any], family: str) -> Iterator[str]:
    """Every model of the family has weights for each condition of its role, or they are trained here."""
    trained = mapping_at(raw, "pretraining", "training", family)
    entry = mapping_at(raw, "models", family)
    of_teacher = mapping_at(entry, "teacher", "weights")
    for role, key, size in sizes(entry):
        for condition in list_at(raw, "pretraining", role):
            if condition not in REACHED or condition in trained:
                continue
            if not (
                mapping_at(size, "weights").get(condition) or (_cut(role, size) and of_teacher.get(condition))
            ):
                yield (
                    f"models.{family}.{key}.weights.{condition}: missing; pretraining.{role} asks for it: "
                    f"name the weights, or say under pretraining.training.{family}.{condition} how to train "
                    "them"
                )


def _cut(role: str, size: Mapping[Any, Any]) -> bool:
    """Whether a model may start from the teacher's weights."""
    return role == "student" and size.get("init", "random") != "random"


def _size(where: str, key: str, size: Mapping[Any, Any]) -> Iterator[str]:
    yield from _conditions(f"{where}.weights", mapping_at(size, "weights"))
    init = size.get("init", "random")
    if init not in ("random", "inherit", "remap"):
        return  # which the schema reports
    if key == "teacher" and init != "random" and not mapping_at(size, "weights"):
        yield f"{where}.init: {init} cuts weights of another shape; name them under {where}.weights"
    if size.get("inherit_heads") is not None and init != "inherit":
        yield f"{where}.inherit_heads: only for `init: inherit`; remove it"


def _published(raw: Mapping[Any, Any], name: str, entry: Any) -> Iterator[str]:
    """Published weights expect their own tokenizer, and after `vl` also images as they were shown there."""
    of_teacher = mapping_at(entry, "teacher", "weights")
    wanted = {
        condition
        for role, _, size in sizes(entry)
        for condition in list_at(raw, "pretraining", role)
        if condition in REACHED
        and (mapping_at(size, "weights").get(condition) or (_cut(role, size) and of_teacher.get(condition)))
    }
    for where, cell in cells_of(raw):
        if wanted and cell.get("family") == name and cell.get("tokenizer") is None:
            yield (
                f"{where}.tokenizer: missing; models.{name} starts from weights that know the words of their "
                "own tokenizer: name its folder instead of `vocabulary`"
            )
    if "vl" not in wanted or not isinstance(entry, Mapping):
        return
    inputs = mapping_at(entry, "inputs")
    if name == "vlt5":
        if entry.get("order_embedding") is not True:
            yield "models.vlt5.order_embedding: the `vl` weights of VL-T5 need it; write true"
        if entry.get("box_area") != "official":
            yield "models.vlt5.box_area: the `vl` weights of VL-T5 need its own area of a box; write official"
    elif inputs.get("kind") == "pixels" and inputs.get("colours") != "clip":
        yield f"models.{name}.inputs.colours: the `vl` weights of BLIP need its own scale; write clip"


def _cells(raw: Mapping[Any, Any]) -> Iterator[str]:
    """Where a family is pre-trained here: on data with captions and questions, for grounding with objects."""
    wanted = {
        condition
        for role in ROLES
        for condition in list_at(raw, "pretraining", role)
        if isinstance(condition, str)
    }
    able = ", ".join(name for name, dataset in DATASETS.items() if dataset.pretrains)
    grounded: set[str] = set()
    for where, cell in cells_of(raw):
        family, dataset = cell.get("family"), cell.get("dataset")
        trained = wanted.intersection(mapping_at(raw, "pretraining", "training", str(family)))
        if not (trained and isinstance(dataset, str) and dataset in DATASETS and family in FAMILIES):
            continue
        if not DATASETS[dataset].pretrains:
            yield (
                f"{where}.dataset: {dataset} has not both captions and questions, on which {family} would "
                f"be pre-trained; possible: {able}; or name weights under models.{family}"
            )
        elif family == "vlt5" and "vl" in trained:
            if not DATASETS[dataset].has_boxes:
                yield (
                    f"{where}.dataset: {dataset} does not say what is in an image's boxes, which `vl` of "
                    "vlt5 is trained on; use scenes, or name weights under models.vlt5"
                )
            grounded.add(family)
    entry = mapping_at(raw, "models", "vlt5")
    if grounded and entry.get("order_embedding") is not True:
        yield (
            "models.vlt5.order_embedding: `vl` needs it: visual grounding names a region by its number; "
            "write true"
        )
    if grounded and mapping_at(entry, "inputs").get("boxes") != "file":
        yield "models.vlt5.inputs.boxes: `vl` is trained on boxes of objects; write file"
