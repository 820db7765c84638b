"""Head counts: what partition a model has, and weights cut to a model of another shape.

`inherit` follows Wu et al. 2023, "TinyCLIP" (manual weight inheritance): whole heads, whole layers, the
leading channels of everything else. `remap` keeps every projection and only divides its channels otherwise.
Axes: H heads of the weights, G of the model; T layers of the weights, S of the model.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from amad_bench.models.weights import Weights, own_tensors
from amad_bench.runtime.errors import UserError

# An attention module of VL-T5, of BLIP's ViT and of its two BERTs; `rest` is what follows inside of it.
_ATTENTION = (
    r"(?:^|\.)(?P<stack>encoder|decoder)\.block\.\d+\.layer\.\d+\.(?P<kind>SelfAttention|EncDecAttention)"
    r"(?:\.(?P<rest>.*))?$",
    r"(?:^|\.)(?P<stack>vision)_model\.encoder\.layers\.\d+\.(?P<kind>self_attn)(?:\.(?P<rest>.*))?$",
    r"(?:^|\.)(?P<stack>text_encoder|text_decoder\.bert|text\.bert)\.encoder\.layer\.\d+\."
    r"(?P<kind>attention|crossattention)\.(?P<rest>.*)$",
)
# The last one is BlipMlm's, whose weights become those of both.
_STACKS = {"text_encoder": ("text",), "text_decoder.bert": ("decoder",), "text.bert": ("text", "decoder")}
_CROSS = ("EncDecAttention", "crossattention")

# Parameters whose channels are divided among heads: by which axis, and how many such parts stand one after
# the other (ViT's fused projection). A column of T5's bias table is a head of size 1.
_DIVIDED = {
    **{f"{name}.weight": (0, 1) for name in ("q", "k", "v")},
    **{f"{name}.weight": (1, 1) for name in ("o", "relative_attention_bias", "projection", "output.dense")},
    **{f"self.{name}.{part}": (0, 1) for name in ("query", "key", "value") for part in ("weight", "bias")},
    **{f"qkv.{part}": (0, 3) for part in ("weight", "bias")},
}
_BIAS_TABLE = "relative_attention_bias.weight"
_WAYS_OUT = {
    "none": "use `cut: inherit` or `cut: remap`",
    "inherit": "a model can inherit from a larger one only",
    "remap": "use `cut: inherit`",
}
_LAYER = re.compile(r"^(?P<stack>.*?\.(?:block|layers|layer))\.(?P<layer>\d+)\.(?P<rest>.*)$")
# Tables whose rows are numbered things, tokens and positions: row i is the same thing in any model.
VOCABULARY_ROWS = re.compile(r"(^shared|word_embeddings)\.weight$|cls\.predictions\.bias$")
POSITION_ROWS = re.compile(r"\.position_embeddings\.weight$")
# Axes that are no channels of a model: features, colours and pixels, image positions, distances.
_INPUT_AXES = {
    "feat_embedding.0.weight": (1,),
    "patch_embedding.weight": (1, 2, 3),
    "embeddings.position_embedding": (1,),
    _BIAS_TABLE: (0,),
}


def head_partition(model: nn.Module) -> dict[str, int]:
    """Heads by site ("encoder.self", ...) of VLT5, our BLIP models and what pre-trains them.

    Raises ValueError where the layers of a site differ, or when there is no attention.
    """
    heads: dict[str, int] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        sites, rest = _sites(name)
        if not sites or rest not in (None, "self"):
            continue
        attribute = next(
            key for key in ("n_heads", "num_heads", "num_attention_heads") if hasattr(module, key)
        )
        count = int(getattr(module, attribute))
        for site in sites:
            if heads.setdefault(site, count) != count:
                raise ValueError(f"{name} has {count} heads, another layer of {site} has {heads[site]}")
    if not heads:
        raise ValueError(f"{type(model).__name__} has no attention that is known here")
    return heads


def head_sizes(weights: Weights) -> dict[str, int]:
    """Channels of a head by site, from the projections that there are."""
    sizes: dict[str, int] = {}
    for name, tensor in weights.tensors.items():
        sites, rest = _sites(name)
        if rest in ("q.weight", "self.query.weight", "qkv.weight"):
            parts = _DIVIDED[rest][1]
            sizes |= {site: len(tensor) // parts // weights.heads[site] for site in sites}
    return sizes


def head_map(old: int, new: int, *, cut: str, inherit_heads: str = "first") -> list[list[int]]:
    """The old heads that make up each new head.

    inherit: one each, the first of them or (spread) floor(g * H / G). remap: those it shares channels with.
    Raises ValueError for another `inherit_heads` than "first" and "spread", and when there are too few heads.
    """
    if cut == "remap":
        shares_HG = _shared_channels(old, new)
        return [shares_HG[:, g].nonzero().flatten().tolist() for g in range(new)]
    if new > old or inherit_heads not in ("first", "spread"):
        raise ValueError(f"{inherit_heads!r}: {new} heads cannot be taken from {old}")
    return [[g * old // new if inherit_heads == "spread" else g] for g in range(new)]


def cut_to_shape(
    weights: Weights, model: nn.Module, *, cut: str, inherit_heads: str = "first"
) -> dict[str, list[list[int]]]:
    """Fills the model's parameters from weights of another shape, which stay as they are.

    Returns the head map of each site whose heads come from there.
    cut "inherit": heads by `head_map`; model layer s from layer round((s + 1) T / S) - 1, halves rounded up,
    T5's bias table from the first; else leading channels. Further channels of larger heads stay fresh.
    cut "remap": all channels stay where they are and are divided into other heads; width and inner width
    must be equal, layers may be fewer. A head's column of T5's bias table is the mean of the old heads'
    columns by shared channels. Queries and keys are not rescaled, although BERT and ViT divide by the root
    of the head size: with other heads the maps are others anyway.
    cut "none": everything must have exactly the model's shape.
    Vocabulary and positions: leading rows, further ones of the model stay fresh. A parameter that the weights
    lack stays fresh; `start.load_start` decides whether it may. On the meta device nothing is copied.
    Raises UserError naming the weights, the parameter and both shapes where that is impossible.
    """
    if cut not in _WAYS_OUT:
        raise ValueError(f"cut {cut!r} is none of {', '.join(_WAYS_OUT)}")
    own = own_tensors(model)
    heads, depth, old_depth = head_partition(model), _depths(own), _depths(weights.tensors)
    maps: dict[str, list[list[int]]] = {}
    for name, target in own.items():
        source_name = _source_name(name, depth, old_depth, cut, weights.where)
        if source_name not in weights.tensors:
            continue
        source, channels = weights.tensors[source_name], {}
        sites, rest = _sites(name)
        if rest in _DIVIDED and source.dim() == target.dim():
            site = sites[0]
            old, new = weights.heads[site], heads[site]
            if cut == "none" and old != new:
                raise UserError(
                    f"{weights.where}: {old} heads at {site}, {new} in the model; {_WAYS_OUT[cut]}"
                )
            if cut == "inherit" and old < new:
                raise UserError(
                    f"{weights.where}: {site} of the model cannot inherit {new} heads from {old}; "
                    "use `cut: remap`"
                )
            maps[site] = head_map(old, new, cut=cut, inherit_heads=inherit_heads)
            axis, parts = _DIVIDED[rest]
            if cut == "inherit":
                channels[axis] = _head_channels(
                    maps[site], old, source.shape[axis], target.shape[axis], parts
                )
            elif rest == _BIAS_TABLE:
                source = source @ _shared_channels(old, new).to(source)
        if not _fits(name, source, target, channels, cut):
            raise UserError(
                f"{weights.where}: {name} is {tuple(source.shape)} there, {tuple(target.shape)} in the "
                f"model; {_WAYS_OUT[cut]}"
            )
        if not target.is_meta:
            _copy(source, target, channels)
    return maps


def names_at_depth_of(weights: Weights, model: nn.Module) -> set[str]:
    """The names that the model's parameters have in a model as deep as the weights' own."""
    own, names = own_tensors(model), set()
    depth = _depths(own) | _depths(weights.tensors)
    for name in own:
        match = _LAYER.match(name)
        if match and not name.endswith(_BIAS_TABLE):
            stack, rest = match["stack"], match["rest"]
            names |= {f"{stack}.{layer}.{rest}" for layer in range(depth[stack])}
        else:
            names.add(name)
    return names


def _sites(name: str) -> tuple[list[str], str | None]:
    """The sites of an attention module or of something in it, and the name in there; [] for others."""
    for pattern in _ATTENTION:
        match = re.search(pattern, name)
        if match:
            kind = "cross" if match["kind"] in _CROSS else "self"
            stacks = _STACKS.get(match["stack"], (match["stack"],))
            return [f"{stack}.{kind}" for stack in stacks], match["rest"]
    return [], None


def _depths(names: Mapping[str, Tensor]) -> dict[str, int]:
    """Number of layers by stack."""
    depth: dict[str, int] = {}
    for name in names:
        match = _LAYER.match(name)
        if match:
            depth[match["stack"]] = max(depth.get(match["stack"], 0), int(match["layer"]) + 1)
    return depth


def _source_name(
    name: str, depth: Mapping[str, int], old_depth: Mapping[str, int], cut: str, where: str
) -> str:
    match = _LAYER.match(name)
    if not match or match["stack"] not in old_depth:
        return name
    new, old = depth[match["stack"]], old_depth[match["stack"]]
    if new > old or (cut == "none" and new != old):
        hint = "take fewer layers" if new > old else _WAYS_OUT[cut]
        raise UserError(f"{where}: {match['stack']} has {old} layers there, {new} in the model; {hint}")
    layer = (2 * (int(match["layer"]) + 1) * old + new) // (2 * new) - 1
    if match["rest"].endswith(_BIAS_TABLE):
        layer = 0  # the one table that all layers share
    return f"{match['stack']}.{layer}.{match['rest']}"


def _shared_channels(old: int, new: int) -> Tensor:
    """shares_HG: the part of new head g's channels that belongs to old head h; columns sum to 1."""
    # in units of which an old head has `new` and a new head `old`
    old_H1, new_1G = torch.arange(old)[:, None] * new, torch.arange(new)[None] * old
    ends_HG, starts_HG = torch.minimum(old_H1 + new, new_1G + old), torch.maximum(old_H1, new_1G)
    return (ends_HG - starts_HG).clamp(min=0) / old


def _head_channels(
    heads: list[list[int]], old_heads: int, old_channels: int, new_channels: int, parts: int
) -> tuple[Tensor, Tensor]:
    """Channels of the model, and the weights' channels that go there."""
    old_size, new_size = old_channels // parts // old_heads, new_channels // parts // len(heads)
    kept = torch.arange(min(old_size, new_size))
    pairs = [
        (
            part * new_channels // parts + g * new_size + kept,
            part * old_channels // parts + h * old_size + kept,
        )
        for part in range(parts)
        for g, (h,) in enumerate(heads)
    ]
    return torch.cat([to for to, _ in pairs]), torch.cat([come for _, come in pairs])


def _fits(
    name: str, source: Tensor, target: Tensor, channels: Mapping[int, tuple[Tensor, Tensor]], cut: str
) -> bool:
    if source.dim() != target.dim():
        return False
    fixed = next((axes for end, axes in _INPUT_AXES.items() if name.endswith(end)), ())
    rows = VOCABULARY_ROWS.search(name) or POSITION_ROWS.search(name)
    for axis, (old, new) in enumerate(zip(source.shape, target.shape, strict=True)):
        leading = (rows and axis == 0) or (cut == "inherit" and axis not in fixed and new < old)
        if old != new and not leading and axis not in channels:
            return False
    return True


def _copy(source: Tensor, target: Tensor, channels: Mapping[int, tuple[Tensor, Tensor]]) -> None:
    """Along each axis the (target, source) indices given, else the leading ones."""
    places = []
    for axis, (old, new) in enumerate(zip(source.shape, target.shape, strict=True)):
        leading = torch.arange(min(old, new))
        to, come = channels.get(axis, (leading, leading))
        source = source.index_select(axis, come.to(source.device))
        places.append(to.to(target.device).view(-1, *[1] * (target.dim() - 1 - axis)))
    with torch.no_grad():
        target[tuple(places)] = source.to(target)
