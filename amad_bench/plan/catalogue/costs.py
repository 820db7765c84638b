"""Costs of a family's models from their shape alone: operations of matrix products, and parameters.

A family's record names its function; tests hold it against the models themselves. As `models.cost` counts
them: 2 operations for each multiply-add of matrix products, convolutions and attention, masked entries too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

_BUCKETS = 32  # of T5's relative positions
_BOX = 5  # numbers: its corners and its area
_IMAGES = 2  # rows of VL-T5's table of images
_COLOURS = 3


class Sizes(Protocol):
    """Sizes of a side of a canonical run config's `model`."""

    @property
    def layers(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def feed_forward(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def head_size(self) -> int: ...


class SizedModel(Protocol):
    """A canonical run config's `model`."""

    @property
    def options(self) -> Mapping[str, Any]: ...
    def side(self, name: str) -> Sizes: ...


@dataclass(frozen=True)
class PassShape:
    """A forward pass of one example.

    condition: of a pre-training, "" of a task. source, target: tokens that are read and written, padding
    included. regions: of an image, each of feature_size numbers; patches: sides, in pixels, of an image that
    is seen as a whole and of its patches. positions: of text, where they are learned. batch: examples of the
    whole pass, which a contrast compares. options: of the pre-training.
    """

    model: SizedModel
    task: str
    condition: str
    source: int
    target: int
    vocabulary: int
    positions: int
    regions: int = 0
    feature_size: int = 0
    patches: tuple[int, int] = (0, 1)
    batch: int = 1
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


class PassCost(NamedTuple):
    """Operations of one forward pass of one example, and parameters of the model.

    read: of what is computed once, whatever is written; write: of the target; frozen: of what has no backward
    pass. parameters: all of them, frozen ones too. layers: of all stacks that the pass goes through.
    """

    read: int
    write: int
    parameters: int
    layers: int
    frozen: int = 0

    @property
    def forward(self) -> int:
        return self.read + self.write + self.frozen


def _product(rows: int, inner: int, columns: int) -> int:
    return 2 * rows * inner * columns


def _linear(inner: int, columns: int) -> int:
    """Parameters, bias included."""
    return (inner + 1) * columns


def _attention(side: Sizes, queries: int, keys: int, key_width: int | None = None) -> int:
    """Four projections, scores and mix; the number of heads counts by the inner width alone."""
    inner, key_width = side.heads * side.head_size, key_width or side.width
    projections = 2 * _product(queries, side.width, inner) + 2 * _product(keys, key_width, inner)
    return projections + 2 * _product(queries, inner, keys)


def _feed_forward(side: Sizes, tokens: int) -> int:
    return 2 * _product(tokens, side.width, side.feed_forward)


def vlt5_cost(shape: PassShape) -> PassCost:
    """The cost of VL-T5: an encoder over text and regions, a decoder whose output is the table of tokens."""
    side, width = shape.model.side(""), shape.model.side("").width
    joint = shape.source + shape.regions
    read = _product(shape.regions, shape.feature_size + _BOX, width)
    read += side.layers * (_attention(side, joint, joint) + _feed_forward(side, joint))
    own, crossed = _attention(side, shape.target, shape.target), _attention(side, shape.target, joint)
    write = side.layers * (own + crossed + _feed_forward(side, shape.target))
    write += _product(shape.target, width, shape.vocabulary)

    attention, wide = 4 * width * side.heads * side.head_size, 2 * width * side.feed_forward
    stacks = side.layers * (3 * attention + 2 * wide + 5 * width)  # a norm before each of them
    stacks += 2 * width + 2 * _BUCKETS * side.heads  # a last norm and one table of positions for each stack
    regions = _linear(shape.feature_size, width) + _linear(_BOX, width) + 2 * width
    if shape.model.options["order_embedding"]:
        regions += _IMAGES * width
    return PassCost(read, write, shape.vocabulary * width + stacks + regions, 2 * side.layers)


def blip_cost(shape: PassShape) -> PassCost:
    """The cost of BLIP: a ViT, BERT as a text encoder that attends to it, and as a decoder of either."""
    if shape.condition == "text":
        return _blip_masked_words(shape)
    if shape.condition:
        return _blip_contrast(shape)
    vision, text = shape.model.side("vision"), shape.model.side("text")
    seen = _seen(shape)
    parameters = _vision_parameters(shape) + _lm_parameters(text, shape)
    if shape.task == "captioning":
        written = shape.source + shape.target  # the prompt, too, and the start token instead of the last one
        write = _bert(text, written, seen, vision.width) + _lm_head(text, written, shape)
        crossing = _bert_parameters(text, shape, vision.width)
        return PassCost(_vision(shape), write, parameters + crossing, vision.layers + text.layers)
    read = _vision(shape) + _bert(text, shape.source, seen, vision.width)
    write = _bert(text, shape.target, shape.source, text.width) + _lm_head(text, shape.target, shape)
    parameters += _bert_parameters(text, shape, vision.width) + _bert_parameters(text, shape, text.width)
    return PassCost(read, write, parameters, vision.layers + 2 * text.layers)


_PROJECTED = 256  # numbers of a feature that is contrasted


def _blip_masked_words(shape: PassShape) -> PassCost:
    text, tokens = shape.model.side("text"), shape.source
    read = _bert(text, tokens) + _lm_head(text, tokens, shape)
    return PassCost(read, 0, _bert_parameters(text, shape) + _lm_parameters(text, shape), text.layers)


def _blip_contrast(shape: PassShape) -> PassCost:
    """Contrast, matching of three pairs an example, captions; the momentum encoders go forward only."""
    vision, text = shape.model.side("vision"), shape.model.side("text")
    seen, tokens = _seen(shape), shape.source
    encoded = _vision(shape) + _bert(text, tokens) + _product(1, vision.width + text.width, _PROJECTED)
    contrast = 2 * _product(1, _PROJECTED, shape.batch)  # images with texts, texts with images
    matching = 3 * (_bert(text, tokens, seen, vision.width) + _product(1, text.width, 2))
    written = tokens - 1
    captions = _bert(text, written, seen, vision.width) + _lm_head(text, written, shape)
    matcher = _vision_parameters(shape) + _bert_parameters(text, shape, vision.width)
    matcher += _linear(vision.width, _PROJECTED) + _linear(text.width, _PROJECTED) + _linear(text.width, 2)
    own = text.layers * (4 * _linear(text.width, text.width) + 2 * text.width)  # all else is the encoder's
    parameters = matcher + own + _lm_parameters(text, shape) + 1  # the temperature
    read, layers = encoded + contrast + matching + captions, vision.layers + 3 * text.layers
    if not shape.options.get("momentum_distillation"):
        return PassCost(read, 0, parameters, layers)
    frozen = encoded + contrast
    return PassCost(read, 0, parameters + matcher, layers + vision.layers + text.layers, frozen)


def _seen(shape: PassShape) -> int:
    """Patches, and one token for all of the image."""
    size, patch = shape.patches
    return (size // patch) ** 2 + 1


def _vision(shape: PassShape) -> int:
    side, seen = shape.model.side("vision"), _seen(shape)
    patches = _product(seen - 1, _COLOURS * shape.patches[1] ** 2, side.width)
    return patches + side.layers * (_attention(side, seen, seen) + _feed_forward(side, seen))


def _vision_parameters(shape: PassShape) -> int:
    side, width = shape.model.side("vision"), shape.model.side("vision").width
    layer = 4 * _linear(width, width) + _wide(side) + 4 * width  # two norms of two vectors
    first = _linear(_COLOURS * shape.patches[1] ** 2, width) + width + _seen(shape) * width
    return first + side.layers * layer + 2 * width


def _bert(side: Sizes, tokens: int, keys: int = 0, key_width: int = 0) -> int:
    """Layers over tokens that attend to keys of another stack, where there are some."""
    crossed = _attention(side, tokens, keys, key_width) if keys else 0
    return side.layers * (_attention(side, tokens, tokens) + crossed + _feed_forward(side, tokens))


def _bert_parameters(side: Sizes, shape: PassShape, key_width: int = 0) -> int:
    width = side.width
    layer = 4 * _linear(width, width) + 2 * width + _wide(side) + 2 * width
    if key_width:
        layer += 2 * _linear(width, width) + 2 * _linear(key_width, width) + 2 * width
    return (shape.vocabulary + shape.positions + 2) * width + side.layers * layer


def _wide(side: Sizes) -> int:
    return _linear(side.width, side.feed_forward) + _linear(side.feed_forward, side.width)


def _lm_head(side: Sizes, tokens: int, shape: PassShape) -> int:
    return _product(tokens, side.width, side.width + shape.vocabulary)


def _lm_parameters(side: Sizes, shape: PassShape) -> int:
    """A layer, its norm, and a bias for each token: the table of tokens is the embedding's."""
    return _linear(side.width, side.width) + 2 * side.width + shape.vocabulary
