"""Whether a student reads its teacher's outputs from disk or runs the teacher for every batch: decided here.

The decision is part of a run's identity, since a batch's shape moves the last digits of what a model
computes. So it depends on the config alone, not on what a disk has room for: the sizes are reckoned from it.
"""

from typing import NamedTuple

from amad_bench.plan.catalogue import FAMILIES, LOSSES, TASKS, model_shape
from amad_bench.plan.config.schema import Config, TaskEntry
from amad_bench.plan.run_config import Model, Outputs, Side, UsedLoss

FLOAT = 4  # bytes of a number
TEXT_TOKENS = 64  # of a source; longer ones are rare, and where they are not, much is padding
PRETRAINED_VOCABULARY = 32_228  # of T5 with VL-T5's own tokens, the largest that is shipped with a config
GB = 10**9
MAPS = 4  # times the room of queries and keys that maps may take in their place, see training.teacher_outputs


def outputs_of(config: Config, entry: TaskEntry, teacher: Model, student: Model, loss: UsedLoss) -> Outputs:
    """`online` where the config says so, or the outputs would take more than its `cache_budget_gb`.

    With `auto` also where the number of training examples is not known before they are read.
    """
    if config.teacher_outputs != "auto":
        return "online" if config.teacher_outputs == "online" else "float32"
    size = reckoned_bytes(config, entry, teacher, student, loss)
    return "online" if size is None or size > config.cache_budget_gb * GB else "float32"


def reckoned_bytes(
    config: Config, entry: TaskEntry, teacher: Model, student: Model, loss: UsedLoss
) -> int | None:
    """Bytes of what a loss reads of its teacher on all training examples; None where their number is unknown.

    Texts count as TEXT_TOKENS, targets as `decoding.max_length` and one more.
    """
    examples = _examples(config, entry)
    if examples is None:
        return None
    inputs = config.inputs_of(entry)
    tokens = Tokens(
        source=TEXT_TOKENS + (inputs.regions or 0),
        target=entry.decoding.max_length + 1,
        vision=inputs.tokens or 0,
        vocabulary=entry.vocabulary or PRETRAINED_VOCABULARY,
    )
    return examples * numbers_read(entry.family, entry.task, teacher, student, loss, tokens) * FLOAT


class Tokens(NamedTuple):
    """Tokens of an example: of an encoder of text and regions, of what is written, of an image as a whole."""

    source: int
    target: int
    vision: int
    vocabulary: int


def numbers_read(
    family: str, task: str, teacher: Model, student: Model, loss: UsedLoss, tokens: Tokens
) -> int:
    """The number of numbers that a loss reads of its teacher on an example."""
    reads = LOSSES[loss.name].reads
    numbers = tokens.target * tokens.vocabulary  # logits
    shape = model_shape(family, task, teacher, sites=loss.sites)
    for site in loss.sites:
        queries, keys = lengths(site, tokens)
        student_layers = student.side(FAMILIES[family].side_of(site)).layers
        layers = layers_read(loss, shape.layers[site], student_layers).teacher
        inner = shape.heads[site] * shape.head_size[site]
        kept = 0
        if set(reads) & {"probs", "scores", "queries", "keys"}:
            kept = inner * (queries + keys)
        if "probs" in reads:  # of small maps these are stored, see `training.teacher_outputs`
            kept = max(kept, min(MAPS * kept, shape.heads[site] * queries * keys))
        kept += inner * keys if "values" in reads else 0
        kept += shape.width[site] * queries if "hidden" in reads else 0
        numbers += layers * kept
    return numbers


def _examples(config: Config, entry: TaskEntry) -> int | None:
    """The most training examples that a student of this entry has; None where only the data know."""
    limit = config.datasets[entry.dataset].limit
    known = [
        config.record(entry.dataset).train_examples(entry.task, config.options(entry.dataset)),
        limit.train * TASKS[entry.task].targets
        if limit
        else None,  # a limit is of images with their captions
        None if entry.student.examples == "all" else entry.student.examples,
    ]
    return min((number for number in known if number is not None), default=None)


class LayersRead(NamedTuple):
    """Numbers of layers of a site that a loss reads, and of pairs that it compares, at most."""

    teacher: int
    student: int
    pairs: int


def layers_read(loss: UsedLoss, teacher_layers: int, student_layers: int) -> LayersRead:
    """By the loss's layer map."""
    if LOSSES[loss.name].every_layer:
        return LayersRead(teacher_layers, student_layers, teacher_layers * student_layers)
    if isinstance(loss.layer_map, list):
        students, teachers = (len(set(layers)) for layers in zip(*loss.layer_map, strict=True))
        return LayersRead(teachers, students, len(loss.layer_map))
    if loss.layer_map == "last":
        return LayersRead(1, 1, 1)
    return LayersRead(min(teacher_layers, student_layers), student_layers, student_layers)


def lengths(site: str, tokens: Tokens) -> tuple[int, int]:
    """Queries and keys of a site; a cross-attention has as many keys as the longer of text and image."""
    stack, _, kind = site.partition(".")
    queries = {"vision": tokens.vision, "decoder": tokens.target}.get(stack, tokens.source)
    return queries, queries if kind == "self" else max(tokens.source, tokens.vision)


def maps_are_stored(teacher: Side, queries: int, keys: int) -> bool:
    """Whether maps are stored in the place of queries and keys, where these are not read by themselves."""
    return teacher.heads * queries * keys <= MAPS * teacher.heads * teacher.head_size * (queries + keys)
