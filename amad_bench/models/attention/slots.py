"""From what a slot holds to a LayerTrace: what the attention function would have made of it.

Written against transformers 5.17-5.24 without importing it.
Axes: B batch, H heads, J <= H key heads, Q query tokens, K key tokens, D head size, d width.
"""

from collections.abc import Collection
from typing import Any

from torch import Tensor, nn

from amad_bench.models.attention.capture import ALTERING, SLOT, Slot, check_gradient
from amad_bench.models.attention.masks import check_fits, check_mask, mask_and_bias, query_mask
from amad_bench.models.attention.projections import output_weight
from amad_bench.models.attention.trace import AttentionDomainError, LayerTrace, unread

PAIRS = frozenset({"probs", "scores", "queries", "keys"})
IN_FULL = ("sdpa", "eager", "")  # implementations to which all that masks is in the mask


class SlotLayer:
    """A layer whose module has a slot; `where` names it in messages.

    crosses: whether its keys are other tokens than its queries. output: the projection out of its heads,
    where it is known. reads: see `record`.
    """

    def __init__(
        self, module: nn.Module, where: str, crosses: bool, output: nn.Module | None, reads: Collection[str]
    ) -> None:
        self.module, self._output, self._reads = module, output, reads
        self._where, self._crosses = where, crosses
        self._slot = Slot("values" in reads, self._look)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy, of a recorder and its model, has a slot of its own."""
        self.__dict__.update(state)
        self._slot = Slot("values" in self._reads, self._look)

    def open(self) -> None:
        """Gives the module its slot."""
        if getattr(self.module, SLOT, None) is not None:
            raise ValueError(f"{self._where} is recorded already: close the other record of this model first")
        setattr(self.module, SLOT, self._slot)

    @property
    def seen(self) -> bool:
        """Whether there was a pass."""
        return self._slot.full

    def forget(self) -> None:
        """Lets go of it."""
        self._slot.empty()

    def close(self) -> None:
        """Takes the slot away."""
        self.forget()
        delattr(self.module, SLOT)

    def _look(self) -> None:
        """Says at once what cannot be recorded, where nothing is compiled."""
        try:
            _check(self.module, self._slot, self._crosses)
        except AttentionDomainError as error:
            raise self._named(error) from None

    def trace(self, has_gradient: bool) -> LayerTrace:
        """Reads what the module computed in the pass that filled its slot.

        has_gradient: whether the pass's output has one. AttentionDomainError: it would be read wrong.
        """
        try:
            query_BHQD, key_BJKD = _check(self.module, self._slot, self._crosses)
            if self._slot.again:
                raise AttentionDomainError(
                    "its attention was called more than once: no single map is the layer's; "
                    "if these were several passes, call the recorder's forget() between them"
                )
            check_gradient(self.module, self._slot.grad, has_gradient)
            return self._trace(query_BHQD, key_BJKD)
        except AttentionDomainError as error:
            raise self._named(error) from None

    def _trace(self, query_BHQD: Tensor, key_BJKD: Tensor) -> LayerTrace:
        slot = self._slot
        causal = _is_causal(self.module, slot, query_BHQD)
        mask, bias = mask_and_bias(slot.mask, query_BHQD, key_BJKD, causal)
        if slot.bias is not None:
            bias = slot.bias if bias is None else slot.bias + bias
        scale = query_BHQD.shape[-1] ** -0.5 if slot.scale is None else float(slot.scale)
        own = getattr(self.module, "scaling", None)
        if scale == 1.0 and isinstance(own, float) and own != 1.0 and "queries" in self._reads:
            # OPT and Whisper scale their queries themselves; relations among queries are of those before.
            query_BHQD, scale = query_BHQD / own, own
        queries_BQ = query_mask(mask, query_BHQD)
        weight_HDd = unread()
        if "output_weight" in self._reads:
            weight_HDd = output_weight(self._output, query_BHQD.shape[1])
        if not PAIRS.intersection(self._reads):
            query_BHQD = key_BJKD = unread()
        value = unread() if slot.value is None else slot.value
        every = slot.mask is None  # nothing is padding, then
        return LayerTrace(query_BHQD, key_BJKD, value, scale, bias, mask, queries_BQ, weight_HDd, None, every)

    def _named(self, error: AttentionDomainError) -> AttentionDomainError:
        return AttentionDomainError(f"{self._where}: {error} ({type(self.module).__name__})")


def _is_causal(module: nn.Module, slot: Slot, query_BHQD: Tensor) -> bool:
    """Whether the function itself masks later keys, as transformers' SDPA decides where it gets no mask."""
    if slot.implementation == "eager":
        return False
    causal = slot.is_causal if slot.is_causal is not None else getattr(module, "is_causal", True)
    return bool(causal) and query_BHQD.shape[-2] > 1


def _check(module: nn.Module, slot: Slot, crosses: bool) -> tuple[Tensor, Tensor]:
    """Queries and keys. Raises AttentionDomainError for what a trace of them would not show."""
    query_BHQD, key_BJKD, kernel = slot.query, slot.key, slot.implementation
    if query_BHQD is None or key_BJKD is None:
        raise AttentionDomainError("the forward pass recorded no attention")
    if kernel == "flex_attention" or kernel.startswith("paged|"):
        raise AttentionDomainError(f"what {kernel} masks is not known: use the attention sdpa or eager")
    altering = [name for name in slot.told if name in ALTERING]
    if not altering and getattr(module, "sinks", None) is not None:
        altering = ["sinks"]
    if altering:
        raise AttentionDomainError(f"{altering[0]} changes its maps beyond scores, bias and mask")
    if getattr(module, "indexer", None) is not None:
        raise AttentionDomainError("an indexer chooses its keys: which tokens are real its mask does not say")
    if slot.told and kernel not in IN_FULL:
        raise AttentionDomainError(f"{kernel} masks by {slot.told[0]}: use the attention sdpa or eager")
    if query_BHQD.dim() != 4 or query_BHQD.shape[0] != key_BJKD.shape[0]:
        shapes = f"{tuple(query_BHQD.shape)} and {tuple(key_BJKD.shape)}"
        raise AttentionDomainError(f"queries and keys {shapes} are not (batch, heads, tokens, head size)")
    queries, keys = query_BHQD.shape[-2], key_BJKD.shape[-2]
    if queries != keys and not crosses:
        raise AttentionDomainError(
            f"{queries} queries, {keys} keys of a cache: record whole passes, not steps of a generation"
        )
    if slot.bias is not None:
        check_fits("position bias", slot.bias, query_BHQD, key_BJKD)
    check_mask(slot.mask, query_BHQD, key_BJKD, kernel)
    return query_BHQD, key_BJKD
