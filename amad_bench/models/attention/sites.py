"""Sites and layers of attention modules that go through transformers' attention interface, by their paths.

The names are the project's: "encoder.self", "decoder.self", "decoder.cross", "vision.self", "text.self" and
"text.cross". Written against transformers 5.17-5.24 without importing it; docs/recorder.md has the architectures
that it is proved with.
"""

import inspect
import re
from collections.abc import Collection
from typing import NamedTuple

from torch import nn

BLOCK = r"(?:layers|layer|blocks|block|h)"  # what a list of blocks is called
# Attention in its block: how its path goes on after the block's number.
ATTENTION = {
    "cross": r"encoder_attn|cross_attn|cross_attention|layer\.1\.EncDecAttention"
    r"|crossattention(?:\.self|\.attention)?",
    "self": r"self_attn|self_attention|multi_head_attention|layer\.0\.SelfAttention|(?:norm_attn_norm\.)?attn"
    r"|attention(?:\.self|\.attention)?|mixer|temporal_block",
}
# A stack's name, by its config's type and the path above its blocks, as in "bert/bert.encoder": first match wins.
# None: what stands beside the stacks. Others are called by what they are, see `_stack`.
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


class Found(NamedTuple):
    """An attention module: its site, the path of its stack's list of blocks, its block's number, and itself."""

    site: str
    stack: str
    block: int
    module: nn.Module


def uses_interface(module: nn.Module) -> bool:
    """Whether a module's forward method asks transformers' attention interface for its function."""
    for one in type(module).__mro__:
        if "forward" not in vars(one):
            continue
        names = getattr(inspect.unwrap(vars(one)["forward"]), "__code__", None)
        if names is None or "ALL_ATTENTION_FUNCTIONS" in names.co_names:
            return names is not None
        if "super" not in names.co_names:
            return False
    return False


def find_attention(model: nn.Module) -> tuple[dict[str, list[Found]], dict[str, str]]:
    """Attention modules that use the interface, by site, in order; and by path why others have no site."""
    sites: dict[str, list[Found]] = {}
    others: dict[str, str] = {}
    for path, module in model.named_modules():
        if uses_interface(module):
            found = _found(path, module)
            if isinstance(found, str):
                others[path] = found
            else:
                sites.setdefault(found.site, []).append(found)
    return {site: sorted(sites[site], key=lambda one: one.block) for site in sorted(sites)}, others


def sites_of(model: nn.Module) -> tuple[str, ...]:
    """Sites whose attention can be recorded; ValueError where a model has none."""
    return tuple(find_layers(model))


def find_layers(model: nn.Module, sites: Collection[str] | None = None) -> dict[str, list[nn.Module]]:
    """Attention modules by site, in the order of their layers.

    sites: those that are asked for; None: all that can be recorded. Layers are counted among a site's own, as
    where only every second block has a cross-attention. ValueError: a site that the model lacks, or that two
    stacks have.
    """
    found, others = find_attention(model)
    doubled = {site: stacks for site, ones in found.items() if (stacks := _stacks_of(ones))}
    name = type(model).__name__
    wanted = [site for site in found if site not in doubled] if sites is None else sites
    for site in wanted:
        if site in doubled:
            raise ValueError(
                f"{name} has {site} in more than one stack ({', '.join(doubled[site])}): record each by itself"
            )
        if site not in found:
            has = ", ".join(found) or "none that is known"
            raise ValueError(f"{name} has no attention site '{site}'; it has: {has}{_why(others)}")
    if not wanted:
        what = "; ".join(f"{site} is in {' and '.join(stacks)}" for site, stacks in doubled.items())
        raise ValueError(f"{name} has no attention that can be recorded{what and ': ' + what}{_why(others)}")
    return {site: [one.module for one in found[site]] for site in wanted}


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
    """Stacks that one site's modules are in, where they are not one module a block of one stack."""
    stacks = list(dict.fromkeys(one.stack for one in ones))
    alone = len({one.block for one in ones}) == len(ones)
    return [] if len(stacks) == 1 and alone else stacks


def _why(others: dict[str, str]) -> str:
    """The first attention without a site, for a message."""
    return next((f"; {path}: {reason}" for path, reason in others.items()), "")
