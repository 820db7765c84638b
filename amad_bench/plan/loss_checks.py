"""What the entries of `losses` must mean: names, options, weights, labels, assistants."""

from collections.abc import Iterator, Mapping
from typing import Any

from amad_bench.plan.catalogue import LOSSES, Loss
from amad_bench.plan.model_checks import student_sizes
from amad_bench.plan.raw import check_options, entries_at, is_count, list_at, mapping_at, unknown_name
from amad_bench.runtime.errors import did_you_mean

TAKEN_LABELS = {label: loss.name for loss in LOSSES.values() for label in loss.labels}


def check_losses(raw: Mapping[Any, Any]) -> Iterator[str]:
    """Messages about the entries of `losses`."""
    labels: dict[str, str] = {}
    assistants: list[tuple[str, str]] = []
    for index, entry in enumerate(list_at(raw, "losses")):
        where = f"losses[{index}]"
        name = mapping_at({"entry": entry}, "entry").get("name")
        if not isinstance(name, str):
            continue
        if name not in LOSSES:
            yield unknown_name(f"{where}.name", "loss", name, LOSSES)
            continue
        loss = LOSSES[name]
        problems = list(check_options(where, entry, loss.options, ("name", "label", "weights", "assistant")))
        yield from problems
        yield from _loss_weights(f"{where}.weights", loss, mapping_at(entry, "weights"))
        if not problems and (clash := loss.clash(entry)):
            yield f"{where}: {clash}"
        assistant = mapping_at(entry, "assistant")
        if assistant:
            yield from _assistant(raw, where, name, entry, assistant)
            assistants.append((where, str(assistant.get("loss"))))
        label = entry.get("label") or loss.label(entry)
        if label == "teacher":
            yield f"{where}.label: tables call the teacher 'teacher'; choose another label"
        elif name == "ce" and "label" in entry:
            yield f"{where}.label: tables find the student without distillation by its label ce; remove it"
        elif isinstance(label, str) and label in TAKEN_LABELS and label not in (name, loss.label(entry)):
            yield f"{where}.label: {label!r} stands for the loss {TAKEN_LABELS[label]}; choose another label"
        elif isinstance(label, str) and label in labels:
            yield f"{where}: {labels[label]} is labelled {label!r} too; remove it or give it a `label:`"
        labels.setdefault(str(label), where)
    direct = {label for label, where in labels.items() if where not in dict(assistants)}
    for where, label in assistants:
        if label not in direct:
            yield unknown_name(
                f"{where}.assistant.loss", "label of a loss without an assistant", label, direct
            )


def _loss_weights(where: str, loss: Loss, weights: Mapping[Any, Any]) -> Iterator[str]:
    for key in weights:
        if key not in loss.weighted_parts:
            hint = did_you_mean(key, loss.weighted_parts)
            yield f"{where}.{key}: {loss.name} has the weights {', '.join(loss.weighted_parts)}.{hint}"


def _assistant(
    raw: Mapping[Any, Any], where: str, name: str, entry: Mapping[Any, Any], assistant: Mapping[Any, Any]
) -> Iterator[str]:
    if not LOSSES[name].reads:
        yield f"{where}.assistant: {name} has no teacher, hence no assistant; remove it"
    if "label" not in entry:
        yield f"{where}.label: missing; a loss taught by an assistant needs a label of its own"
    heads = assistant.get("heads")
    inner_width = raw.get("fix", "inner_width") == "inner_width"
    widths = [
        (family, size.get("width"))
        for family, model in entries_at(raw, "models")
        for _, size in student_sizes(model)
    ]
    for family, width in widths:
        if inner_width and is_count(heads) and is_count(width) and width % heads:
            yield (
                f"{where}.assistant.heads: a student of {family} with width {width} cannot have {heads} "
                "heads; choose a divisor of the width"
            )
