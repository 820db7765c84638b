"""Attention modules that are known: where they are, what they are made of, how their channels lie in heads.

The one place that says so: what is recorded, how many heads a model has and how heads are cut follow from it.
Written against transformers 5.17-5.24 without importing it: T5 (and VL-T5), BERT, ViT, and BLIP with stock or
our own attention modules. The stacks are called
- "encoder" and "decoder": T5, VL-T5, and BERT by its `is_decoder`; "decoder" also BLIP's text decoder;
- "vision": BLIP's ViT and a plain ViT;  "text": BLIP's text encoder (questions, image-text matching).
Axes: B batch, H heads, Q query tokens, K key tokens, D head size, d width, L tokens, n = H * D.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from amad_bench.models.attention.adapters import Scoring, read_blip_text, read_blip_vision
from amad_bench.models.attention.masks import query_mask
from amad_bench.models.attention.trace import LayerTrace

KNOWN = "BERT, BLIP, T5 and ViT"  # for messages


class Kind(NamedTuple):
    """A kind of attention module.

    heads: its attribute with their number. projections: into heads, of queries, keys and values, or one in
    which the three stand one after the other; a head is so many rows of each part. output: the projection out
    of them, a head is so many columns; `outside`: of the module around (BERT). table: of a bias with a column
    per head, in a stack's first layer. given: an argument of its forward method which architectures lack that
    are made of the same parts and compute otherwise (UMT5 has a table in each layer). read: see `adapters`.
    """

    heads: str
    projections: tuple[str, ...]
    output: str
    read: Callable[[Any, Tensor, Tensor, dict[str, Any]], Scoring] | None
    outside: bool = False
    table: str | None = None
    given: str | None = None

    @property
    def parts(self) -> int:
        """Parts that stand one after the other in a projection: 3 where it is fused, else 1."""
        return 3 // len(self.projections)


class Divided(NamedTuple):
    """Division of a parameter's channels among heads: along which axis, in each of how many parts.

    table: of a bias, whose columns are heads of size 1.
    """

    axis: int
    parts: int = 1
    table: bool = False


class Stack(NamedTuple):
    """A stack of blocks. names: of the stack, several where its weights become those of several stacks, none
    where the block's `is_decoder` says it. path: how the blocks' module names end before their number, a
    regular expression. attention: where it is in a block, by "self" and "cross".
    """

    names: tuple[str, ...]
    path: str
    kind: Kind
    attention: Mapping[str, str]

    def split(self, name: str) -> re.Match[str] | None:
        """A module's or parameter's name as the block's `stack` and `layer`, and the `rest` in there."""
        return re.match(rf"(?P<stack>(?:|.*?\.)(?:{self.path}))\.(?P<layer>\d+)(?:\.(?P<rest>.*))?$", name)

    def divided(self, rest: str | None) -> tuple[str, Divided] | None:
        """The attention, "self" or "cross", whose heads divide a block's parameter, and how; else None."""
        kind = self.kind
        for site, path in self.attention.items():
            around = path.rpartition(".")[0] if kind.outside else path
            if rest in [f"{path}.{name}.{part}" for name in kind.projections for part in ("weight", "bias")]:
                return site, Divided(0, kind.parts)
            if rest == f"{around}.{kind.output}.weight":
                return site, Divided(1)
            if kind.table is not None and rest == f"{path}.{kind.table}.weight":
                return site, Divided(1, table=True)
        return None


class Attention(NamedTuple):
    """One attention module of a block; `output` is its projection out of heads."""

    module: nn.Module
    output: nn.Linear
    kind: Kind

    @property
    def heads(self) -> int:
        """Their number."""
        return int(getattr(self.module, self.kind.heads))

    def trace(self, projected: Mapping[str, Tensor], arguments: dict[str, Any]) -> LayerTrace:
        """A forward pass: `projected` are the outputs of the projections, the others see `adapters`.

        Raises AttentionDomainError for masks and biases that are not known or do not fit.
        """
        assert self.kind.read is not None
        fused, heads = self.kind.parts, self.heads
        parts = [part for name in self.kind.projections for part in projected[name].chunk(fused, dim=-1)]
        query, key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in parts)
        scale, bias, mask = self.kind.read(self.module, query, key, arguments)
        weight_HDd = self.output.weight.unflatten(1, (heads, -1)).permute(1, 2, 0)
        query_mask_BQ = query_mask(mask, query)
        every = mask is None
        return LayerTrace(query, key, value, scale, bias, mask, query_mask_BQ, weight_HDd, every_query=every)


class Block(NamedTuple):
    """One layer: the module whose output is the layer's, and its attention by "self" and "cross"."""

    module: nn.Module
    attention: dict[str, Attention]


class Found(NamedTuple):
    """A block in a model: its module name, its stack's record and names, its number and itself."""

    name: str
    stack: Stack
    names: tuple[str, ...]
    layer: int
    block: Block


T5 = Kind("n_heads", ("q", "k", "v"), "o", None, table="relative_attention_bias", given="position_bias")
BLIP_VISION = Kind("num_heads", ("qkv",), "projection", read_blip_vision)
VIT = Kind("num_attention_heads", ("q_proj", "k_proj", "v_proj"), "o_proj", None)
BERT = Kind("num_attention_heads", ("query", "key", "value"), "output.dense", read_blip_text, outside=True)

_BERT = {"self": "attention.self", "cross": "crossattention.self"}

# First match wins.
STACKS = (
    Stack(("encoder",), r"encoder\.block", T5, {"self": "layer.0.SelfAttention"}),
    Stack(
        ("decoder",),
        r"decoder\.block",
        T5,
        {"self": "layer.0.SelfAttention", "cross": "layer.1.EncDecAttention"},
    ),
    Stack(("vision",), r"encoder\.layers", BLIP_VISION, {"self": "self_attn"}),
    Stack(("text",), r"text_(?:encoder|model)\.encoder\.layer", BERT, _BERT),
    Stack(("decoder",), r"text_decoder\.bert\.encoder\.layer", BERT, _BERT),
    Stack(("text", "decoder"), r"text\.bert\.encoder\.layer", BERT, _BERT),  # BlipMlm
    Stack((), r"encoder\.layer", BERT, _BERT),
    Stack(("vision",), r"layers", VIT, {"self": "attention"}),
)


def find_blocks(model: nn.Module) -> Iterator[Found]:
    """Every block of a known stack, in the order of the model's modules."""
    for name, module in model.named_modules():
        stack, match = find_stack(name)
        if stack is None or match is None or match["rest"] is not None:
            continue
        attention = {site: _attention(module, path, stack.kind) for site, path in stack.attention.items()}
        present = {site: one for site, one in attention.items() if one is not None}
        if "self" in present:
            own = "decoder" if getattr(module, "is_decoder", False) else "encoder"
            yield Found(name, stack, stack.names or (own,), int(match["layer"]), Block(module, present))


def find_stacks(model: nn.Module) -> dict[str, list[Block]]:
    """The model's stacks of layers, in order. Raises ValueError where two stacks would have one name."""
    found: dict[str, dict[int, Block]] = {}
    for one in find_blocks(model):
        for name in one.names:
            layers = found.setdefault(name, {})
            if one.layer in layers:
                raise ValueError(
                    f"{type(model).__name__} has two stacks called {name!r}: record each by itself"
                )
            layers[one.layer] = one.block
    return {stack: [layers[i] for i in sorted(layers)] for stack, layers in found.items()}


def unknown_attention(model: nn.Module) -> str | None:
    """Name of the first module that calls itself an attention and is part of none that is known."""
    known = [
        f"{found.name}.{found.stack.attention[site]}"
        for found in find_blocks(model)
        for site in found.block.attention
    ]
    for name, module in model.named_modules():
        parts_of = (one == name or one.startswith(f"{name}.") or name.startswith(f"{one}.") for one in known)
        if "attention" in type(module).__name__.lower() and not any(parts_of):
            return name
    return None


def find_stack(name: str) -> tuple[Stack | None, re.Match[str] | None]:
    """The stack that a module or parameter of this name belongs to, and its name taken apart."""
    for stack in STACKS:
        if match := stack.split(name):
            return stack, match
    return None, None


def _attention(block: nn.Module, path: str, kind: Kind) -> Attention | None:
    """The module there, where it is of that kind."""
    above = path.rpartition(".")[0]
    try:
        module = block.get_submodule(path)
        output = (block.get_submodule(above) if kind.outside else module).get_submodule(kind.output)
    except AttributeError:
        return None
    if kind.given is not None and kind.given not in inspect.signature(module.forward).parameters:
        return None
    linears = [*(getattr(module, name, None) for name in kind.projections), output]
    if isinstance(output, nn.Linear) and all(isinstance(linear, nn.Linear) for linear in linears):
        return Attention(module, output, kind)
    return None
