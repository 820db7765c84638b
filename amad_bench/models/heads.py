"""Head counts: what partition a model has, and weights cut to a model of another shape.

`inherit` follows Wu et al. 2023, "TinyCLIP" (manual weight inheritance): whole heads, whole layers, the
leading channels of everything else. `remap` keeps every projection and only divides its channels otherwise.
What an attention module is made of stands in `attention/kinds.py`.
Axes: H heads of the weights, G of the model; T layers of the weights, S of the model.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from amad_bench.models.attention.kinds import (
    KNOWN,
    Divided,
    find_blocks,
    find_stack,
    unknown_attention,
)
from amad_bench.models.head_channels import head_channels, head_map, shared_channels
from amad_bench.models.weights import Weights, listed, own_tensors
from amad_bench.runtime.errors import UserError

_WAYS_OUT = {
    "none": "use `cut: inherit` or `cut: remap`",
    "inherit": "a model can inherit from a larger one only",
    "remap": "use `cut: inherit`",
}
# Tables whose rows are numbered things, tokens and positions: row i is the same thing in any model.
VOCABULARY_ROWS = re.compile(
    r"(^shared|word_embeddings|lm_head)\.weight$|cls\.predictions\.(bias|decoder\.weight|decoder\.bias)$"
)
POSITION_ROWS = re.compile(r"(^|\.)position_embeddings\.weight$")
# Axes that are no channels of a model: features, colours and pixels, image positions, kinds of tokens,
# labels; and distances (of bias tables).
_INPUT_AXES = {
    "feat_embedding.0.weight": (1,),
    "patch_embedding.weight": (1, 2, 3),
    "patch_embeddings.projection.weight": (1, 2, 3),
    "embeddings.position_embedding": (1,),
    "embeddings.position_embeddings": (1,),
    "token_type_embeddings.weight": (0,),
    "classifier.weight": (0,),
    "classifier.bias": (0,),
}
# Fields of configs by which the same tensors compute something else.
_SAME = (
    *("hidden_act", "dense_act_fn", "layer_norm_eps", "layer_norm_epsilon", "is_decoder"),
    *("relative_attention_max_distance", "tie_word_embeddings", "scale_decoder_outputs", "box_area"),
)


def cut(
    source: nn.Module, target: nn.Module, *, cut: str = "inherit", inherit_heads: str = "first"
) -> dict[str, list[list[int]]]:
    """Fills a smaller model with the weights of a larger one of its class, which stays as it is.

    source, target: BERT, ViT or T5 of transformers, or a model of this package; target is built from a config
    of the user's own, with other heads, layers, width or feed-forward. cut, inherit_heads: see
    `cut_to_shape`. Returns the head map: site -> for each head of the target those of the source.
    Raises UserError for an architecture that is not known here, a target that has what the source lacks, is
    larger or computes otherwise (its activation, say), and under remap for another width.
    """
    where = type(source).__name__
    for model in (source, target):
        name = unknown_attention(model)
        if name is not None or next(find_blocks(model), None) is None:
            attention = f"an attention that is not known ({name})" if name else "no attention that is known"
            raise UserError(f"{type(model).__name__} has {attention}; what can be cut is {KNOWN}")
        if of_heads := sorted(_unknown_tables(model)):
            raise UserError(
                f"{type(model).__name__}: how {listed(of_heads)} belongs to heads is not known; "
                f"what can be cut is {KNOWN}"
            )
    tensors = source.state_dict()
    weights = Weights(tensors, head_partition(source), where)
    if lacking := sorted(names_at_depth_of(weights, target) - tensors.keys()):
        raise UserError(
            f"{where}: it lacks {listed(lacking)} of the {type(target).__name__}; build one of the same class"
        )
    if dropped := sorted(_biases_without_a_place(source, target)):
        raise UserError(
            f"{where}: {listed(dropped)} would be dropped, the {type(target).__name__} has no such bias and "
            "would compute something else; build it with the same"
        )
    parts = dict(source.named_modules())
    for name, module in target.named_modules():
        configs = [getattr(part, "config", None) for part in (parts.get(name), module)]
        for field in _SAME:
            there, here = (getattr(config, field, None) for config in configs)
            if None not in (there, here) and there != here:
                raise UserError(
                    f"{where}: {field} is {there} there, {here} in the model, which would compute something "
                    "else; build it with the same"
                )
    return cut_to_shape(weights, target, cut=cut, inherit_heads=inherit_heads)


def head_partition(model: nn.Module) -> dict[str, int]:
    """Heads by site ("encoder.self", ...) of a model whose attention is known, see `attention/kinds.py`.

    Raises ValueError where the layers of a site differ, or when there is no attention.
    """
    heads: dict[str, int] = {}
    for found in find_blocks(model):
        for kind, attention in found.block.attention.items():
            for site in (f"{stack}.{kind}" for stack in found.names):
                if heads.setdefault(site, attention.heads) != attention.heads:
                    raise ValueError(
                        f"{found.name}.{found.stack.attention[kind]} has {attention.heads} heads, another "
                        f"layer of {site} has {heads[site]}"
                    )
    if not heads:
        raise ValueError(f"{type(model).__name__} has no attention that is known here ({KNOWN})")
    return heads


def head_sizes(weights: Weights) -> dict[str, int]:
    """Channels of a head by site, from the projections that there are."""
    sizes: dict[str, int] = {}
    for name, tensor in weights.tensors.items():
        stack, match = find_stack(name)
        place = stack.divided(match["rest"]) if stack and match else None
        if stack and place and place[1].axis == 0:
            kind, divided = place
            for site in (f"{own}.{kind}" for own in stack.names):
                sizes[site] = len(tensor) // divided.parts // weights.heads[site]
    return sizes


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
    places = _divided_parameters(model)
    heads, depth, old_depth = head_partition(model), _depths(own), _depths(weights.tensors)
    maps: dict[str, list[list[int]]] = {}
    for name, target in own.items():
        source_name = _source_name(name, depth, old_depth, cut, weights.where)
        if source_name not in weights.tensors:
            continue
        source, channels = weights.tensors[source_name], {}
        if name in places and source.dim() == target.dim():
            site, divided = places[name]
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
            axis = divided.axis
            if cut == "inherit":
                channels[axis] = head_channels(
                    maps[site], old, source.shape[axis], target.shape[axis], divided.parts
                )
            elif divided.table:
                source = source @ shared_channels(old, new).to(source)
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
        _, match = find_stack(name)
        if match and not _is_table(name):
            names |= {f"{match['stack']}.{layer}.{match['rest']}" for layer in range(depth[match["stack"]])}
        else:
            names.add(name)
    return names


def _biases_without_a_place(source: nn.Module, target: nn.Module) -> set[str]:
    """The source's biases of modules that the target has, in any layer, without a bias."""

    def of_any_layer(name: str) -> str:
        _, match = find_stack(name)
        return f"{match['stack']}.{match['rest']}" if match else name

    own = {of_any_layer(name) for name in target.state_dict()}
    modules = {of_any_layer(f"{name}.bias") for name, _ in target.named_modules()}
    biases = {name: of_any_layer(name) for name in source.state_dict() if name.endswith(".bias")}
    return {name for name, place in biases.items() if place in modules - own}


def _divided_parameters(model: nn.Module) -> dict[str, tuple[str, Divided]]:
    """The model's parameters whose channels are divided among heads: each one's site, and how."""
    blocks, places = {found.name: found for found in find_blocks(model)}, {}
    for name in own_tensors(model):
        _, match = find_stack(name)
        found = blocks.get(f"{match['stack']}.{match['layer']}") if match else None
        if match and found and (place := found.stack.divided(match["rest"])):
            kind, divided = place
            places[name] = (f"{found.names[0]}.{kind}", divided)
    return places


def _unknown_tables(model: nn.Module) -> set[str]:
    """Parameters that are by their names biases of heads, such as BEiT's, and none that are known."""
    return {name for name in own_tensors(model) if "relative_" in name} - _divided_parameters(model).keys()


def _is_table(name: str) -> bool:
    """Whether it is a bias table, which the first layer has for all."""
    stack, match = find_stack(name)
    place = stack.divided(match["rest"]) if stack and match else None
    return place is not None and place[1].table


def _depths(names: Mapping[str, Tensor]) -> dict[str, int]:
    """Number of layers by stack."""
    depth: dict[str, int] = {}
    for name in names:
        _, match = find_stack(name)
        if match:
            depth[match["stack"]] = max(depth.get(match["stack"], 0), int(match["layer"]) + 1)
    return depth


def _source_name(
    name: str, depth: Mapping[str, int], old_depth: Mapping[str, int], cut: str, where: str
) -> str:
    _, match = find_stack(name)
    if not match or match["stack"] not in old_depth:
        return name
    new, old = depth[match["stack"]], old_depth[match["stack"]]
    if new > old or (cut == "none" and new != old):
        hint = "take fewer layers" if new > old else _WAYS_OUT[cut]
        raise UserError(f"{where}: {match['stack']} has {old} layers there, {new} in the model; {hint}")
    layer = (2 * (int(match["layer"]) + 1) * old + new) // (2 * new) - 1
    return f"{match['stack']}.{0 if _is_table(name) else layer}.{match['rest']}"


def _fits(
    name: str, source: Tensor, target: Tensor, channels: Mapping[int, tuple[Tensor, Tensor]], cut: str
) -> bool:
    if source.dim() != target.dim():
        return False
    ends = (axes for end, axes in _INPUT_AXES.items() if name.endswith(end))
    fixed = (0,) if _is_table(name) else next(ends, ())
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
