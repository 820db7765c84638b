"""Checks of the entries of `losses` together: weights, labels, assistants."""

from collections.abc import Iterator

from amad_bench.plan.catalogue import LOSSES
from amad_bench.plan.config.losses import Assistant, LossEntry
from amad_bench.plan.config.schema import Config
from amad_bench.plan.run_config import canonical_json
from amad_bench.plan.shown import unknown
from amad_bench.runtime import devices
from amad_bench.runtime.errors import did_you_mean

TAKEN_LABELS = {label: loss.name for loss in LOSSES.values() for label in loss.labels}


def check_losses(config: Config) -> Iterator[str]:
    """Messages about the entries of `losses`."""
    if "flops" in config.budgets and all(entry.name != "ce" for entry in config.losses):
        yield "budgets: flops needs the loss ce, whose FLOPs are the budget; add `{name: ce}` to losses"
    labels: dict[str, str] = {}
    methods: dict[str, tuple[str, str]] = {}
    for index, entry in enumerate(config.losses):
        where, loss = f"losses[{index}]", LOSSES[entry.name]
        for key in entry.loss_weights:
            if key not in loss.weighted_parts:
                hint = did_you_mean(key, loss.weighted_parts)
                known = ", ".join(loss.weighted_parts)
                yield f"{where}.loss_weights.{key}: {loss.name} has the weights {known}.{hint}"
        if entry.options.get("kernel") == "triton" and config.device not in (devices.AUTO, "cuda"):
            yield f"{where}.kernel: triton needs CUDA, which device: {config.device} is not; choose chunked"
        if entry.assistant:
            yield from _assistant(config, where, entry, entry.assistant)
        mistaken = list(_label(where, entry, labels))
        labels.setdefault(entry.shown_label, where)
        first, label = methods.setdefault(_method(config, entry), (where, entry.shown_label))
        if label != entry.shown_label and not mistaken:
            mistaken = [
                f"{where}: {entry.shown_label!r} is {label!r} ({first}) under another label; remove one"
            ]
        yield from mistaken
    direct = [entry.shown_label for entry in config.losses if not entry.assistant]
    for index, entry in enumerate(config.losses):
        if entry.assistant and entry.assistant.loss not in direct:
            what = "label of a loss without an assistant"
            yield f"losses[{index}].assistant.loss: {unknown(what, entry.assistant.loss, direct)}"


def _method(config: Config, entry: LossEntry) -> str:
    """The training that an entry asks for, whatever its label: entries of one text have equal scores.

    A part of weight 0 is none: an attention loss without it is logit distillation, that is `ce`.
    """
    loss = LOSSES[entry.name]
    given = {**config.loss_weights.model_dump(), **entry.loss_weights}
    weights = {part: given[part] for part in loss.weighted_parts if given[part]}
    name, options = entry.name, loss.complete(entry.options)
    if loss.base == "logit_kd" and "attention" not in weights:
        name, options = "logit_kd", {"temperature": config.logit_temperature}
    if name == "logit_kd" and "logit_kd" not in weights:
        name, options = "ce", {}
    taught = entry.assistant.model_dump() if entry.assistant and name != "ce" else None
    return canonical_json([name, options, weights, taught])


def _label(where: str, entry: LossEntry, labels: dict[str, str]) -> Iterator[str]:
    """labels: those before it, and where they stand."""
    label = entry.shown_label
    own = (entry.name, LOSSES[entry.name].label(entry.options))
    if label == "teacher":
        yield f"{where}.label: tables call the teacher 'teacher'; choose another label"
    elif entry.name == "ce" and entry.label is not None:
        yield f"{where}.label: tables find the student without distillation by its label ce; remove it"
    elif label in TAKEN_LABELS and label not in own:
        yield f"{where}.label: {label!r} stands for the loss {TAKEN_LABELS[label]}; choose another label"
    elif label in labels:
        yield f"{where}: {labels[label]} is labelled {label!r} too; remove it or give it a `label:`"


def _assistant(config: Config, where: str, entry: LossEntry, assistant: Assistant) -> Iterator[str]:
    if not LOSSES[entry.name].reads:
        yield f"{where}.assistant: {entry.name} has no teacher, hence no assistant; remove it"
    if entry.label is None:
        yield f"{where}.label: missing; a loss taught by an assistant needs a label of its own"
    if config.heads.keep != "inner_width":
        return
    for family, model in config.models.items():
        students = [size for role, _, size in model.sizes if role == "student"]
        swept = [size.sides[side] for size in students for side in config.swept_sides(family, size)]
        for width in [side.width for side in swept]:
            if width % assistant.heads:
                yield (
                    f"{where}.assistant.heads: a student of {family} with width {width} cannot have "
                    f"{assistant.heads} heads; choose a divisor of the width"
                )
