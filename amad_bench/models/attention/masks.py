"""Masks and biases as attention functions take them, for a LayerTrace.

Written against transformers 5.17-5.24 without importing it.
Axes: B batch, H heads, J <= H key heads, Q query tokens, K key tokens, D head size.
"""

import sys
from typing import Any

import torch
from torch import Tensor

from amad_bench.models.attention.trace import AttentionDomainError

# What an additive mask adds to masked entries, at most: older models (MarkupLM) add -10,000, which is -9,984
# in bfloat16, others the lowest number there is. No bias of an entry that may be attended is as low.
MASKED = -9e3


def mask_and_bias(
    mask: Tensor | None, query_BHQD: Tensor, key_BJKD: Tensor, is_causal: bool
) -> tuple[Tensor | None, Tensor | None]:
    """A bool or additive mask as (bool mask, what an additive one adds to the entries it leaves open).

    mask: one that `check_mask` lets through. is_causal: whether the attention function masks later keys
    itself, where it gets no mask.
    """
    if mask is None:
        if not is_causal:
            return None, None
        queries, keys = query_BHQD.shape[-2], key_BJKD.shape[-2]
        return torch.ones(1, 1, queries, keys, dtype=torch.bool, device=query_BHQD.device).tril(), None
    if mask.dtype == torch.bool:
        return mask, None
    open_BHQK = mask > MASKED
    return open_BHQK, mask.masked_fill(~open_BHQK, 0.0)


def check_mask(mask: Any, query_BHQD: Tensor, key_BJKD: Tensor, implementation: str) -> None:
    """AttentionDomainError for a mask that is not known, does not fit, or masks nothing.

    implementation: of the attention, by transformers' name; "" for modules of our own.
    """
    if mask is None:
        _check_mask_function(implementation)
        return
    if not isinstance(mask, Tensor) or mask.dim() != 4:
        what = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise AttentionDomainError(f"unknown attention mask {what}: use the attention sdpa or eager")
    check_fits("attention mask", mask, query_BHQD, key_BJKD)
    if mask.dtype == torch.bool and implementation == "eager":
        raise AttentionDomainError("eager attention adds a bool mask as 0 and 1: it masks nothing; use sdpa")


def check_fits(what: str, tensor_BHQK: Tensor, query_BHQD: Tensor, key_BJKD: Tensor) -> None:
    """AttentionDomainError for a mask or bias of other numbers of tokens."""
    queries, keys = query_BHQD.shape[-2], key_BJKD.shape[-2]
    if tensor_BHQK.shape[-2] not in (1, queries) or tensor_BHQK.shape[-1] not in (1, keys):
        raise AttentionDomainError(
            f"the {what} {tuple(tensor_BHQK.shape)} does not fit {queries} queries and {keys} keys: "
            "record whole passes, not steps of a generation"
        )


def query_mask(mask_BHQK: Tensor | None, query_BHQD: Tensor) -> Tensor:
    """Queries of a self-attention that are real tokens: some query, mostly their own, attends to them."""
    batch, _, queries, _ = query_BHQD.shape
    if mask_BHQK is None or mask_BHQK.shape[-1] != queries:
        return query_BHQD.new_ones(batch, queries, dtype=torch.bool)
    return mask_BHQK[:, 0].any(-2).expand(batch, queries)


def _check_mask_function(implementation: str) -> None:
    """transformers passes no mask, and says nothing, to an attention function without a mask function."""
    masking = sys.modules.get("transformers.masking_utils")
    if masking is not None and implementation not in ("", *masking.ALL_MASK_ATTENTION_FUNCTIONS):
        raise AttentionDomainError(
            f"the attention function {implementation!r} gets no mask, so that padding may be attended: "
            f"register one of that name with transformers' AttentionMaskInterface, too"
        )
