"""Adapters to each kind of attention module: what it adds to its scores, masks and multiplies them by.

Written against transformers 5.17-5.24 without importing it. All take (module, query, key, arguments):
projected queries and keys, and the arguments of the attention's forward method by name.
Axes: B batch, H heads, Q query tokens, K key tokens, D head size.
"""

from typing import Any, NamedTuple

from torch import Tensor

from amad_bench.models.attention.masks import check_mask, mask_and_bias


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


def read_blip_text(module: Any, query_BHQD: Tensor, key_BHKD: Tensor, arguments: dict[str, Any]) -> Scoring:
    """BlipTextSelfAttention, as self- or cross-attention.

    transformers passes the mask of the encoder's tokens under a name that its cross-attention does not read:
    it attends to padded tokens, and that is what a trace of it has to show.
    """
    crosses = arguments.get("encoder_hidden_states") is not None
    given = arguments.get("encoder_attention_mask" if crosses else "attention_mask")
    check_mask(given, query_BHQD, key_BHKD, module.config._attn_implementation)
    mask, bias = mask_and_bias(given, query_BHQD, key_BHKD, False)
    return Scoring(module.attention_head_size**-0.5, bias, mask)
