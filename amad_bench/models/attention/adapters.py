"""Adapters to each kind of attention module: what it adds to its scores, masks and multiplies them by.

Written against transformers 5.17-5.24 without importing it. All take (module, query, key, arguments, output):
projected queries and keys, the arguments of the attention's forward method by name, and what it gave back.
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


def read_t5(
    module: Any, query_BHQD: Tensor, key_BHKD: Tensor, arguments: dict[str, Any], output: Any
) -> Scoring:
    """T5Attention: no scaling, an additive position bias (its second output), shared by all layers."""
    mask, added = _mask_and_bias(module, arguments.get("mask"), query_BHQD, key_BHKD)
    bias = output[1]
    if added is not None:
        bias = bias + added
    return _scoring(module.scaling, bias, mask, query_BHQD, key_BHKD)


def read_blip_vision(
    module: Any, _query_BHQD: Tensor, _key_BHKD: Tensor, _arguments: dict[str, Any], _output: Any
) -> Scoring:
    """BlipAttention (ViT): no mask."""
    return Scoring(module.scale, None, None)


def read_vit(
    module: Any, query_BHQD: Tensor, key_BHKD: Tensor, arguments: dict[str, Any], _output: Any
) -> Scoring:
    """ViTAttention."""
    mask, bias = arguments.get("attention_mask"), None
    if mask is not None:  # patches are rarely padded, and never causal
        mask, bias = _mask_and_bias(module, mask, query_BHQD, key_BHKD)
    return _scoring(module.scaling, bias, mask, query_BHQD, key_BHKD)


def read_bert(
    module: Any, query_BHQD: Tensor, key_BHKD: Tensor, arguments: dict[str, Any], _output: Any
) -> Scoring:
    """BertSelfAttention, BertCrossAttention, and BLIP's copy of them, as self- or cross-attention."""
    given = arguments.get("attention_mask")
    encoder_mask = arguments.get("encoder_attention_mask")
    # Stock BLIP passes the mask of the encoder's tokens under a name that its cross-attention does not read:
    # it attends to padded tokens, and that is what a trace of it has to show.
    stock = type(module).__name__ == "BlipTextSelfAttention"
    if encoder_mask is not None or (stock and arguments.get("encoder_hidden_states") is not None):
        given = encoder_mask
    ours = type(module).__name__ == "SdpaTextAttention"  # whatever its config says
    mask, bias = _mask_and_bias(module, given, query_BHQD, key_BHKD, is_sdpa=ours)
    scale = getattr(module, "scaling", module.attention_head_size**-0.5)
    return _scoring(scale, bias, mask, query_BHQD, key_BHKD)


def _scoring(
    scale: float, bias: Tensor | None, mask: Tensor | None, query_BHQD: Tensor, key_BHKD: Tensor
) -> Scoring:
    """Raises AttentionDomainError for a bias that does not fit the recorded queries and keys."""
    if bias is not None:
        _check_fits("position bias", bias, query_BHQD, key_BHKD)
    return Scoring(scale, bias, mask)


def _mask_and_bias(
    module: Any, mask: Any, query_BHQD: Tensor, key_BHKD: Tensor, is_sdpa: bool = False
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
        if implementation == "eager" and not is_sdpa:
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
