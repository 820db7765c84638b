"""A forward pass as a loss sees it: of each attention layer projected queries, keys, values; maps on demand.

Axes: B batch, H heads, Q query tokens, K key tokens, D head size, d width, L tokens, V vocabulary.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor


class AttentionDomainError(RuntimeError):
    """Attention that was asked for could not be recorded as it is; names the site, the layer and what."""


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

    sites: "encoder.self" -> layers in order; hidden: "encoder" -> layer outputs (B, L, d), when asked for.
    sample_weight_B: what each example's labels count in the cross-entropy; None: all tokens count alike.
    """

    logits_BLV: Tensor
    labels_BL: Tensor
    sites: dict[str, list[LayerTrace]] = field(default_factory=dict)
    hidden: dict[str, list[Tensor]] = field(default_factory=dict)
    sample_weight_B: Tensor | None = None
