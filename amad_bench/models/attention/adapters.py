"""Adapters to each kind of attention module: what it adds to its scores, masks and multiplies them by.

Written against transformers 5.17-5.24 without importing it. All take (module, query, key, arguments):
projected queries and keys, and the arguments of the attention's forward method by name.
Axes: B batch, H heads, Q query tokens, K key tokens, D head size.
"""

import sys
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amad_bench.models.attention.trace import AttentionDomainError


class Scoring(NamedTuple):
    """Parts of a LayerTrace that make scores of projected queries and keys."""

    scale: float
    bias_BHQK: Tensor | None
    mask_BHQK: Tensor | None


def read_blip_vision(
    module: Any, _query_BHQD: Tensor, _key_BHKD: Tensor, _arguments: dict[str, Any]
) -> Scoring:
    """BlipAttention (ViT): no mask."""
    return Scoring(module.scale, None, None)


def read_bert(module: Any, query_BHQD: Tensor, key_BHKD: Tensor, arguments: dict[str, Any]) -> Scoring:
    """BertSelfAttention, BertCrossAttention, and BLIP's copy of them, as self- or cross-attention."""
    given = arguments.get("attention_mask")
    encoder_mask = arguments.get("encoder_attention_mask")
    # Stock BLIP passes the mask of the encoder's tokens under a name that its cross-attention does not read:
    # it attends to padded tokens, and that is what a trace of it has to show.
    stock = type(module).__name__ == "BlipTextSelfAttention"
    if encoder_mask is not None or (stock and arguments.get("encoder_hidden_states") is not None):
        given = encoder_mask
    ours = type(module).__name__ == "SdpaTextAttention"  # whatever its config says
    implementation = None if ours else module.config._attn_implementation
    mask, bias = mask_and_bias(given, query_BHQD, key_BHKD, implementation, False)
    return Scoring(module.attention_head_size**-0.5, bias, mask)


def mask_and_bias(
    mask: Any, query_BHQD: Tensor, key_BJKD: Tensor, implementation: str | None, is_causal: bool
) -> tuple[Tensor | None, Tensor | None]:
    """A bool or additive mask as (bool mask, what an additive one adds to the entries it leaves open).

    implementation: of the attention, by transformers' name; "" or None for modules of our own. is_causal:
    whether the function masks later keys itself, where it gets no mask.
    """
    if mask is None:
        _check_mask_function(implementation)
        if not is_causal:
            return None, None
        queries, keys = query_BHQD.shape[-2], key_BJKD.shape[-2]
        return torch.ones(1, 1, queries, keys, dtype=torch.bool, device=query_BHQD.device).tril(), None
    if not isinstance(mask, Tensor) or mask.dim() != 4:
        what = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise AttentionDomainError(f"unknown attention mask {what}: use the attention sdpa or eager")
    check_fits("attention mask", mask, query_BHQD, key_BJKD)
    if mask.dtype == torch.bool:
        if implementation == "eager":
            raise AttentionDomainError(
                "eager attention adds a bool mask as 0 and 1: it masks nothing; use sdpa"
            )
        return mask, None
    open_BHQK = mask > torch.finfo(mask.dtype).min / 2
    return open_BHQK, mask.masked_fill(~open_BHQK, 0.0)


def query_mask(mask_BHQK: Tensor | None, query_BHQD: Tensor) -> Tensor:
    """Queries of a self-attention that are real tokens: their own key may be attended (the diagonal)."""
    batch, _, queries, _ = query_BHQD.shape
    if mask_BHQK is None or mask_BHQK.shape[-1] != queries:
        return query_BHQD.new_ones(batch, queries, dtype=torch.bool)
    entries_BQK = mask_BHQK[:, 0].expand(batch, queries, queries)
    return entries_BQK.diagonal(dim1=-2, dim2=-1)


def _check_mask_function(implementation: str | None) -> None:
    """transformers passes no mask, and says nothing, to an attention function without a mask function."""
    masking = sys.modules.get("transformers.masking_utils")
    if masking is None or not implementation:
        return
    if implementation not in masking.ALL_MASK_ATTENTION_FUNCTIONS:
        raise AttentionDomainError(
            f"the attention function {implementation!r} gets no mask, so that padding may be attended: "
            f"register one of that name with transformers' AttentionMaskInterface, too"
        )


def check_fits(what: str, tensor_BHQK: Tensor, query_BHQD: Tensor, key_BJKD: Tensor) -> None:
    """AttentionDomainError for a mask or bias of other numbers of tokens."""
    queries, keys = query_BHQD.shape[-2], key_BJKD.shape[-2]
    if tensor_BHQK.shape[-2] not in (1, queries) or tensor_BHQK.shape[-1] not in (1, keys):
        raise AttentionDomainError(
            f"the {what} {tuple(tensor_BHQK.shape)} does not fit {queries} queries and {keys} keys: "
            "record whole passes, not steps of a generation"
        )
