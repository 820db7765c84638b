"""Adapters to each kind of transformer block: where its attention is, and what that computes with.

Written against transformers 5.17-5.24 without importing it: T5 (and VL-T5), BERT, ViT, and BLIP with stock or
our own attention modules. The stacks are called
- "encoder" and "decoder": T5, VL-T5, and BERT by its `is_decoder`; "decoder" also BLIP's text decoder;
- "vision": BLIP's ViT and a plain ViT;  "text": BLIP's text encoder (questions, image-text matching).
Axes: B batch, H heads, Q query tokens, K key tokens, D head size, d width, L tokens, n = H * D.
"""

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from amad_bench.models.attention.trace import AttentionDomainError, LayerTrace


class Kind(NamedTuple):
    """A kind of attention module: its projections into heads and out of them, and how to read a forward pass.

    output: None where the block has it, not the module (BERT).
    read(attention, parent, projected, arguments, output): `projected` are the outputs of the projections,
    `arguments` those of the attention's forward method by name.
    """

    projections: tuple[str, ...]
    output: str | None
    read: Callable[[Any, Any, dict[str, Tensor], dict[str, Any], Any], LayerTrace]


class Attention(NamedTuple):
    """One attention module of a block; `parent` holds BERT's output projection."""

    module: nn.Module
    parent: nn.Module
    kind: Kind


class Block(NamedTuple):
    """One layer: the module whose output is the layer's, and its attention by "self" and "cross"."""

    module: nn.Module
    attention: dict[str, Attention]


_T5 = {"self": "layer.0.SelfAttention", "cross": "layer.1.EncDecAttention"}
_BERT = {"self": "attention.self", "cross": "crossattention.self"}

# Stack (None: by the block's `is_decoder`), the block's module name, its attention modules. First match wins.
STACKS: tuple[tuple[str | None, str, Mapping[str, str]], ...] = (
    (None, r"(^|\.)(encoder|decoder)\.block\.(?P<layer>\d+)$", _T5),
    ("vision", r"(^|\.)encoder\.layers\.(?P<layer>\d+)$", {"self": "self_attn"}),
    ("text", r"(^|\.)text_(encoder|model)\.encoder\.layer\.(?P<layer>\d+)$", _BERT),
    ("decoder", r"(^|\.)text_decoder\.bert\.encoder\.layer\.(?P<layer>\d+)$", _BERT),
    (None, r"(^|\.)encoder\.layer\.(?P<layer>\d+)$", _BERT),
    ("vision", r"(^|\.)layers\.(?P<layer>\d+)$", {"self": "attention"}),
)


def find_stacks(model: nn.Module) -> dict[str, list[Block]]:
    """The model's stacks of layers, in order. Raises ValueError where two stacks would have one name."""
    found: dict[str, dict[int, Block]] = {}
    for name, module in model.named_modules():
        match, stack, paths = _match(name)
        attention = {site: _attention(module, path) for site, path in paths.items()}
        present = {site: one for site, one in attention.items() if one is not None}
        if match is None or "self" not in present:
            continue
        stack = stack or ("decoder" if getattr(module, "is_decoder", False) else "encoder")
        layers, layer = found.setdefault(stack, {}), int(match["layer"])
        if layer in layers:
            raise ValueError(f"{type(model).__name__} has two stacks called {stack!r}: record each by itself")
        layers[layer] = Block(module, present)
    return {stack: [layers[i] for i in sorted(layers)] for stack, layers in found.items()}


def _match(name: str) -> tuple[re.Match[str] | None, str | None, Mapping[str, str]]:
    for stack, pattern, paths in STACKS:
        match = re.search(pattern, name)
        if match:
            return match, stack, paths
    return None, None, {}


def _attention(block: nn.Module, path: str) -> Attention | None:
    above, _, _ = path.rpartition(".")
    try:
        module, parent = block.get_submodule(path), block.get_submodule(above)
    except AttributeError:
        return None
    for kind in (T5, BLIP_VISION, VIT, BERT):
        linears = [name for name in (*kind.projections, kind.output) if name is not None]
        if all(isinstance(getattr(module, name, None), nn.Linear) for name in linears):
            return Attention(module, parent, kind)
    return None


def _read_t5(
    module: Any, _parent: Any, projected: dict[str, Tensor], arguments: dict[str, Any], output: Any
) -> LayerTrace:
    """T5Attention: no scaling, an additive position bias (its second output), shared by all layers."""
    query, key, value = (_split(projected[name], module.n_heads) for name in ("q", "k", "v"))
    mask, added = _mask_and_bias(module, arguments.get("mask"), query, key)
    bias = output[1]
    if added is not None:
        bias = bias + added
    weight = _output_weight(module.o, module.n_heads)
    return _layer_trace(query, key, value, module.scaling, bias, mask, weight)


def _read_blip_vision(
    module: Any, _parent: Any, projected: dict[str, Tensor], _arguments: dict[str, Any], _output: Any
) -> LayerTrace:
    """BlipAttention (ViT): one fused projection, no mask."""
    query, key, value = (_split(part, module.num_heads) for part in projected["qkv"].chunk(3, dim=-1))
    weight = _output_weight(module.projection, module.num_heads)
    return _layer_trace(query, key, value, module.scale, None, None, weight)


def _read_vit(
    module: Any, _parent: Any, projected: dict[str, Tensor], arguments: dict[str, Any], _output: Any
) -> LayerTrace:
    """ViTAttention."""
    heads = module.num_attention_heads
    query, key, value = (_split(projected[name], heads) for name in VIT.projections)
    mask, bias = arguments.get("attention_mask"), None
    if mask is not None:  # patches are rarely padded, and never causal
        mask, bias = _mask_and_bias(module, mask, query, key)
    weight = _output_weight(module.o_proj, heads)
    return _layer_trace(query, key, value, module.scaling, bias, mask, weight)


def _read_bert(
    module: Any, parent: Any, projected: dict[str, Tensor], arguments: dict[str, Any], _output: Any
) -> LayerTrace:
    """BertSelfAttention, BertCrossAttention, and BLIP's copy of them, as self- or cross-attention."""
    heads, head_size = module.num_attention_heads, module.attention_head_size
    query, key, value = (_split(projected[name], heads) for name in BERT.projections)
    given = arguments.get("attention_mask")
    encoder_mask = arguments.get("encoder_attention_mask")
    # Stock BLIP passes the mask of the encoder's tokens under a name that its cross-attention does not read:
    # it attends to padded tokens, and that is what a trace of it has to show.
    stock = type(module).__name__ == "BlipTextSelfAttention"
    if encoder_mask is not None or (stock and arguments.get("encoder_hidden_states") is not None):
        given = encoder_mask
    mask, bias = _mask_and_bias(module, given, query, key)
    weight = _output_weight(parent.output.dense, heads)
    scale = getattr(module, "scaling", head_size**-0.5)
    return _layer_trace(query, key, value, scale, bias, mask, weight)


T5 = Kind(("q", "k", "v"), "o", _read_t5)
BLIP_VISION = Kind(("qkv",), "projection", _read_blip_vision)
VIT = Kind(("q_proj", "k_proj", "v_proj"), "o_proj", _read_vit)
BERT = Kind(("query", "key", "value"), None, _read_bert)


def _layer_trace(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: float,
    bias: Tensor | None,
    mask: Tensor | None,
    weight_HDd: Tensor,
) -> LayerTrace:
    """Raises AttentionDomainError for a bias that does not fit the recorded queries and keys."""
    if bias is not None:
        _check_fits("position bias", bias, query, key)
    return LayerTrace(query, key, value, scale, bias, mask, _query_mask(mask, query), weight_HDd)


def _split(projected_BLn: Tensor, heads: int) -> Tensor:
    return projected_BLn.unflatten(-1, (heads, -1)).transpose(1, 2)


def _output_weight(linear: nn.Linear, heads: int) -> Tensor:
    return linear.weight.unflatten(1, (heads, -1)).permute(1, 2, 0)


def _mask_and_bias(
    module: Any, mask: Any, query_BHQD: Tensor, key_BHKD: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """A bool or additive mask as (bool mask, what an additive one adds to the entries it leaves open)."""
    implementation = getattr(getattr(module, "config", None), "_attn_implementation", None)
    if mask is None:
        _check_mask_function(implementation)
        if not getattr(module, "is_causal", False):
            return None, None
        # transformers leaves the causal mask to the kernel when nothing else is masked
        queries, keys = query_BHQD.shape[-2], key_BHKD.shape[-2]
        return torch.ones(1, 1, queries, keys, dtype=torch.bool, device=query_BHQD.device).tril(), None
    if not isinstance(mask, Tensor) or mask.dim() != 4:
        what = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise AttentionDomainError(f"unknown attention mask {what}: use the attention sdpa or eager")
    _check_fits("attention mask", mask, query_BHQD, key_BHKD)
    if mask.dtype == torch.bool:
        if implementation == "eager":
            raise AttentionDomainError(
                "eager attention adds a bool mask as 0 and 1: it masks nothing; use sdpa"
            )
        return mask, None
    open_BHQK = mask > torch.finfo(mask.dtype).min / 2
    return open_BHQK, mask.masked_fill(~open_BHQK, 0.0)


def _check_mask_function(implementation: str | None) -> None:
    """transformers passes no mask, and says nothing, to an attention function without a mask function."""
    masking = sys.modules.get("transformers.masking_utils")
    if masking is None or implementation is None:
        return
    if implementation not in masking.ALL_MASK_ATTENTION_FUNCTIONS:
        raise AttentionDomainError(
            f"the attention function {implementation!r} gets no mask, so that padding may be attended: "
            f"register one of that name with transformers' AttentionMaskInterface, too"
        )


def _check_fits(what: str, tensor_BHQK: Tensor, query_BHQD: Tensor, key_BHKD: Tensor) -> None:
    queries, keys = query_BHQD.shape[-2], key_BHKD.shape[-2]
    if tensor_BHQK.shape[-2] not in (1, queries) or tensor_BHQK.shape[-1] not in (1, keys):
        raise AttentionDomainError(
            f"the {what} {tuple(tensor_BHQK.shape)} does not fit {queries} queries and {keys} keys: "
            "record whole passes, not steps of a generation"
        )


def _query_mask(mask_BHQK: Tensor | None, query_BHQD: Tensor) -> Tensor:
    """Queries of a self-attention that are real tokens: their own key may be attended (the diagonal)."""
    batch, _, queries, _ = query_BHQD.shape
    if mask_BHQK is None or mask_BHQK.shape[-1] != queries:
        return query_BHQD.new_ones(batch, queries, dtype=torch.bool)
    entries_BQK = mask_BHQK[:, 0].expand(batch, queries, queries)
    return entries_BQK.diagonal(dim1=-2, dim2=-1)
