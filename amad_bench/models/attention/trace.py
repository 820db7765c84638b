"""A forward pass as a loss sees it: of each attention layer projected queries, keys, values; maps on demand.

Axes: B batch, H heads, Q query tokens, K key tokens, D head size, d width, L tokens, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, overload

import torch
from torch import Tensor

T = TypeVar("T")


class AttentionDomainError(RuntimeError):
    """Attention that was asked for could not be recorded as it is; names the site, the layer and what."""


class Recorded(Sequence[T]):
    """What was recorded of a stack's layers, in order, though perhaps not of all of them.

    AttentionDomainError for one that was not.
    """

    def __init__(self, by_layer: Mapping[int, T], layers: int) -> None:
        self.by_layer, self.layers = dict(by_layer), layers

    def __len__(self) -> int:
        return self.layers

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        chosen = range(self.layers)[index]
        return self._at(chosen) if isinstance(chosen, int) else [self._at(layer) for layer in chosen]

    def _at(self, layer: int) -> T:
        if layer not in self.by_layer:
            known = ", ".join(map(str, sorted(self.by_layer))) or "none"
            raise AttentionDomainError(f"layer {layer} was not recorded, only: {known}")
        return self.by_layer[layer]


def unread() -> Tensor:
    """In place of a tensor that nobody asked to be kept: whatever is computed with it fails."""
    return torch.empty(0, 0, 0, 0, device="meta")


@dataclass
class LayerTrace:
    """One site, one layer; masks are bool with True = may be attended / a real token."""

    query_BHQD: Tensor
    key_BHKD: Tensor
    value_BHKD: Tensor
    scale: float
    bias_BHQK: Tensor | None
    mask_BHQK: Tensor | None
    query_mask_BQ: Tensor
    output_weight_HDd: Tensor | None

    def scores_BHQK(self) -> Tensor:
        """Pre-softmax scores in float32, under autocast too; masked entries -inf."""
        with torch.autocast(self.query_BHQD.device.type, enabled=False):
            scores_BHQK = self.query_BHQD.float() @ self.key_BHKD.float().transpose(-1, -2) * self.scale
        if self.bias_BHQK is not None:
            scores_BHQK = scores_BHQK + self.bias_BHQK.float()
        if self.mask_BHQK is not None:
            scores_BHQK = scores_BHQK.masked_fill(~self.mask_BHQK, float("-inf"))
        return scores_BHQK

    def probs_BHQK(self) -> Tensor:
        """Pre-dropout probabilities, float32: rows sum to 1; masked entries and rows without a key are 0."""
        scores_BHQK = self.scores_BHQK()
        if self.mask_BHQK is None:
            return scores_BHQK.softmax(-1)
        # A row that may attend to nothing would be NaN, its gradient too: give it finite scores, then 0.
        empty_BHQ1 = ~self.mask_BHQK.any(-1, keepdim=True)
        probs_BHQK = scores_BHQK.masked_fill(empty_BHQ1, 0.0).softmax(-1)
        return probs_BHQK.masked_fill(~self.mask_BHQK, 0.0)


@dataclass
class Trace:
    """A forward pass as a loss sees it: logits and labels aligned (-100 = ignored), attention by site.

    sites: "encoder.self" -> layers in order; hidden: "encoder" -> layer outputs (B, L, d), when asked for; of
    some layers only, where no others were asked for (`Recorded`).
    sample_weight_B: what each example's labels count in the cross-entropy; None: all tokens count alike.
    """

    logits_BLV: Tensor
    labels_BL: Tensor
    sites: Mapping[str, Sequence[LayerTrace]] = field(default_factory=dict)
    hidden: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)
    sample_weight_B: Tensor | None = None
