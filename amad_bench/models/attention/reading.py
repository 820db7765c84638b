"""From what a slot holds to a LayerTrace: what the attention function would have made of it.

Written against transformers 5.17-5.24 without importing it.
Axes: B batch, H heads, J <= H key heads, Q query tokens, K key tokens, D head size, d width.
"""

from collections.abc import Collection

from torch import Tensor, nn

from amad_bench.models.attention.adapters import check_fits, mask_and_bias, query_mask
from amad_bench.models.attention.capture import Slot
from amad_bench.models.attention.trace import AttentionDomainError, LayerTrace, unread

PAIRS = frozenset({"probs", "scores", "queries", "keys"})


def is_causal(module: nn.Module, slot: Slot) -> bool:
    """Whether the function itself masks later keys, as transformers' SDPA decides where it gets no mask."""
    if slot.mask is not None or slot.implementation == "eager" or slot.query is None:
        return False
    causal = slot.is_causal if slot.is_causal is not None else getattr(module, "is_causal", True)
    return bool(causal) and slot.query.shape[-2] > 1


def layer_trace(
    module: nn.Module, slot: Slot, crosses: bool, output: nn.Module | None, reads: Collection[str]
) -> LayerTrace:
    """What the module computed in the pass that filled its slot; see `read_slot` for what is refused."""
    mask, bias = read_slot(module, slot, crosses)
    query_BHQD, key_BJKD = slot.query, slot.key
    assert query_BHQD is not None
    assert key_BJKD is not None
    scale = query_BHQD.shape[-1] ** -0.5 if slot.scale is None else float(slot.scale)
    own = getattr(module, "scaling", None)
    if scale == 1.0 and isinstance(own, float) and own != 1.0 and "queries" in reads:
        # OPT and Whisper scale their queries themselves: relations among queries are those before that.
        query_BHQD, scale = query_BHQD / own, own
    queries = query_mask(mask, query_BHQD)
    return LayerTrace(
        query_BHQD if PAIRS & set(reads) else unread(),
        key_BJKD if PAIRS & set(reads) else unread(),
        slot.value if slot.value is not None else unread(),
        scale,
        bias,
        mask,
        queries,
        output_weight(output, query_BHQD.shape[1]) if "output_weight" in reads else None,
        every_query=mask is None,
    )


def read_slot(module: nn.Module, slot: Slot, crosses: bool) -> tuple[Tensor | None, Tensor | None]:
    """Mask and bias. Raises AttentionDomainError for what is not known or would be read wrong."""
    query_BHQD, key_BJKD = slot.query, slot.key
    if query_BHQD is None or key_BJKD is None:
        raise AttentionDomainError("the forward pass recorded no attention")
    queries, keys = query_BHQD.shape[-2], key_BJKD.shape[-2]
    if queries != keys and not crosses:
        raise AttentionDomainError(
            f"{queries} queries, {keys} keys of a cache: record whole passes, not steps of a generation"
        )
    mask, added = mask_and_bias(slot.mask, query_BHQD, key_BJKD, slot.implementation, is_causal(module, slot))
    bias = slot.bias
    if bias is not None:
        check_fits("position bias", bias, query_BHQD, key_BJKD)
        added = bias if added is None else bias + added
    return mask, added


def output_weight(output: nn.Module | None, heads: int) -> Tensor | None:
    """(H, D, d) of the projection out of heads; None where there is none that is sure."""
    if not isinstance(output, nn.Linear) or output.in_features % heads:
        return None
    return output.weight.unflatten(1, (heads, -1)).permute(1, 2, 0)
