"""Sites and layers of a model's attention: which module stands where.

Modules that go through transformers' attention interface are told by their paths; those of our own and those
written by hand are the blocks of `kinds`. Names are the project's: "encoder.self", "decoder.self",
"decoder.cross", "vision.self", "text.self", "text.cross"; docs/recorder.md has the architectures that this is
proved with. Written against transformers 5.17-5.24 without importing it.
"""

import re
from collections.abc import Collection
from typing import NamedTuple

from torch import nn

from amad_bench.models.attention.capture import asks_interface, captures
from amad_bench.models.attention.kinds import find_blocks

BLOCK = r"(?:layers|layer|blocks|block|h)"  # what a list of blocks is called
# Attention in its block: how its path goes on after the block's number.
ATTENTION = {
    "cross": r"encoder_attn|cross_attn|cross_attention|layer\.1\.EncDecAttention"
    r"|crossattention(?:\.self|\.attention)?",
    "self": r"self_attn|self_attention|multi_head_attention|layer\.0\.SelfAttention|(?:norm_attn_norm\.)?attn"
    r"|attention(?:\.self|\.attention)?|mixer|temporal_block",
}
# A stack's name, by its config's type and the path above its blocks, as in "bert/bert.encoder": first match
# wins. None: what stands beside the stacks. Others are called by what they are, see `_stack`.
STACKS = (
    (None, r"perceiver|resampler|connector|projector|pooler|memory|prompt|mask_decoder"),
    ("text", r"qformer|text_model[/.](?:.*\.)?encoder$"),  # of BLIP-2; of CLIP and its kin: no language model
    ("encoder", r"^audio-|/(?:.*\.)?(?:audio|speech)_|^udop/encoder"),
    ("vision", r"vision|visual"),
    ("decoder", r"^doge/"),  # does not say that it is causal
)
# Attention that is not one map a layer, by its config's type and its path, and why.
REFUSED = (
    (r"/.*albert_layers", "its layers are one module, called again and again"),
    (r"(?:layers|blocks|stages)\.\d+\.(?:layers|blocks)\.\d", "it has stages, with windows in the batch"),
    (r"^(?:sam[23]|edgetam|lw_detr_vit|rf_detr_dinov2)", "it folds windows into the batch"),
)


# Classes of attention written by hand that is known. Others of the same parts compute something else: BigBird's
# is sparse, RoFormer's rotates queries after their projection.
BY_HAND = ("BlipAttention", "BlipTextSelfAttention")


class Layer(NamedTuple):
    """One layer of a site: its attention, and the block around it, whose output is the layer's.

    queries: the layer of the stack's self-attention that has the same queries, which for a self-attention is
    this one; None where there is none.
    """

    module: nn.Module
    block: nn.Module
    queries: int | None


class Found(NamedTuple):
    """An attention module: its site, its stack's list of blocks, its block's number, and itself."""

    site: str
    stack: str
    block: int
    module: nn.Module


def sites_of(model: nn.Module) -> tuple[str, ...]:
    """The attention sites that `record` takes, such as "encoder.self"; ValueError where there are none."""
    return tuple(find_layers(model))


def find_layers(model: nn.Module, sites: Collection[str] | None = None) -> dict[str, list[Layer]]:
    """A model's attention by site, in the order of layers, without sites that several stacks have.

    Layers are counted among a site's own, as where only every second block has a cross-attention.
    ValueError: one of `sites` that the model lacks or several stacks have, or a model without any.
    """
    if isinstance(sites, str):
        raise ValueError(f"sites {sites!r}: expected a list of sites, or None for all")
    found, others = _find(model)
    name = type(model).__name__
    # A cross-attention's queries are those of its stack's self-attention: both are known, or neither.
    stacks = {
        site: max(_stacks_of(ones), _stacks_of(found.get(_own(site), ones)), key=len)
        for site, ones in found.items()
    }
    single = [site for site in found if len(stacks[site]) == 1]
    for site in single or found if sites is None else sites:
        if site not in found:
            has = ", ".join(sorted(single)) or "none that is known"
            raise ValueError(f"{name} has no attention site '{site}'; it has: {has}{_why(others)}")
        if site not in single:
            where = " and ".join(stacks[site])
            raise ValueError(f"{name} has several stacks called '{site}', {where}: record each by itself")
    if not found and sites is None:
        raise ValueError(f"{name} has no attention site that is known{_why(others)}")
    return {
        site: [_layer(model, one, found[_own(site)] if _own(site) in single else []) for one in found[site]]
        for site in single
    }


def _find(model: nn.Module) -> tuple[dict[str, list[Found]], dict[str, str]]:
    """Attention by site, in order; and by path why other attention that uses the interface has no site."""
    sites: dict[str, list[Found]] = {}
    others: dict[str, str] = {}
    for found in find_blocks(model):
        for kind, attention in found.block.attention.items():
            module = attention.module
            if asks_interface(module):
                continue
            if not captures(module) and type(module).__name__ not in BY_HAND:
                others[f"{found.name}.{found.stack.attention[kind]}"] = (
                    f"{type(module).__name__} is written by hand, and does not ask transformers' interface"
                )
                continue
            for site in (f"{stack}.{kind}" for stack in found.names):
                place = found.name.rpartition(".")[0], found.layer, module
                sites.setdefault(site, []).append(Found(site, *place))
    for path, module in model.named_modules():
        if asks_interface(module):
            one = _found(path, module)
            if isinstance(one, str):
                others[path] = one
            else:
                sites.setdefault(one.site, []).append(one)
    return {site: sorted(ones, key=lambda one: one.block) for site, ones in sites.items()}, others


def _layer(model: nn.Module, one: Found, own: list[Found]) -> Layer:
    """own: its stack's self-attention; a block without has the same queries as the last one before."""
    before = [i for i, other in enumerate(own) if other.stack == one.stack and other.block <= one.block]
    block = model.get_submodule(f"{one.stack}.{one.block}")
    return Layer(one.module, block, before[-1] if before else None)


def _own(site: str) -> str:
    """The self-attention of a site's stack."""
    return site.replace(".cross", ".self")


def _found(path: str, module: nn.Module) -> Found | str:
    """The module's site and place, or why it has none."""
    config = getattr(module, "config", None)
    kind_of_model = getattr(config, "model_type", "")
    for pattern, reason in REFUSED:
        if re.search(pattern, f"{kind_of_model}/{path}"):
            return reason
    for kind, pattern in ATTENTION.items():
        match = re.fullmatch(rf"(?P<stack>(?P<above>|.*\.){BLOCK})\.(?P<block>\d+)\.(?:{pattern})", path)
        if match is not None:
            stack = _stack(f"{kind_of_model}/{match['above'].removesuffix('.')}", kind, module)
            if stack is not None:
                return Found(f"{stack}.{kind}", match["stack"], int(match["block"]), module)
    return "no pattern of models/attention/sites.py knows its path"


def _stack(where: str, kind: str, module: nn.Module) -> str | None:
    """Name of a stack of blocks: by the table, as a decoder by being causal or its path, by having images."""
    for name, pattern in STACKS:
        if re.search(pattern, where):
            return name
    last = re.findall(r"encoder|decoder|language_model", where)[-1:]
    if kind == "cross" or getattr(module, "is_causal", False) or last in (["decoder"], ["language_model"]):
        return "decoder"
    config = getattr(module, "config", None)
    return "vision" if hasattr(config, "patch_size") or hasattr(config, "image_size") else "encoder"


def _stacks_of(ones: list[Found]) -> list[str]:
    """Lists of blocks that one site's modules are in; a list is there twice if a block has two of them."""
    places = [(one.stack, one.block) for one in ones]
    doubled = sorted({stack for stack, block in places if places.count((stack, block)) > 1})
    return [*dict.fromkeys(one.stack for one in ones), *doubled]


def _why(others: dict[str, str]) -> str:
    """The first attention without a site, for a message."""
    return next((f"; not {path}: {reason}" for path, reason in others.items()), "")
