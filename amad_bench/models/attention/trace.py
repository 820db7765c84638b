"""A forward pass as a loss sees it: of each attention layer projected queries, keys, values; maps on demand.

Axes: B batch, H heads, J <= H key heads, Q query tokens, K key tokens, D head size, d width, L tokens,
V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")


class AttentionDomainError(RuntimeError):
    """Attention that was asked for could not be recorded as it is; names the site, the layer and what."""


class Recorded(Sequence[T]):
    """Records of a stack's layers, in order, though perhaps not of all of them.

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
    """One site, one layer; masks are bool with True = may be attended / a real token.

    Queries and keys are those that the scores are made of (rotated, where positions are). With grouped
    queries there are fewer heads of keys and values, J, each for H / J heads of queries in a row.
    given_probs_BHQK: the probabilities, where they are known already; queries and keys are then `unread`.
    every_query: the query mask is known to be all True without a look at it, as for patches of an image.
    """

    query_BHQD: Tensor
    key_BJKD: Tensor
    value_BJKD: Tensor
    scale: float
    bias_BHQK: Tensor | None
    mask_BHQK: Tensor | None
    query_mask_BQ: Tensor
    output_weight_HDd: Tensor | None
    given_probs_BHQK: Tensor | None = None
    every_query: bool = False

    @property
    def shape_BHQK(self) -> tuple[int, ...]:
        """Shape of its maps."""
        if self.given_probs_BHQK is not None:
            return tuple(self.given_probs_BHQK.shape)
        return (*self.query_BHQD.shape[:3], self.key_BJKD.shape[2])

    def value_BHKD(self) -> Tensor:
        """Values with a head for each of queries: those of grouped queries are copied within a group."""
        heads, value_heads = self.shape_BHQK[1], self.value_BJKD.shape[1]
        if value_heads in (0, heads):  # 0: not recorded
            return self.value_BJKD
        return self.value_BJKD.repeat_interleave(heads // value_heads, dim=1)

    def scores_BHQK(self) -> Tensor:
        """Pre-softmax scores in float32, under autocast too, or in a model's float64; masked entries -inf."""
        precision = torch.promote_types(self.query_BHQD.dtype, torch.float32)
        with torch.autocast(self.query_BHQD.device.type, enabled=False):
            scores_BHQK = _products(self.query_BHQD.to(precision), self.key_BJKD.to(precision))
        # In place, as autograd allows here: each copy would cost as much as the product itself.
        if self.scale != 1.0:
            scores_BHQK.mul_(self.scale)
        if self.bias_BHQK is not None:
            scores_BHQK.add_(self.bias_BHQK.to(precision))
        if self.mask_BHQK is not None:
            scores_BHQK.masked_fill_(~self.mask_BHQK, float("-inf"))
        return scores_BHQK

    def probs_BHQK(self) -> Tensor:
        """Pre-dropout probabilities, as precise as the scores: rows sum to 1.

        Masked entries and rows without a key are 0.
        """
        if self.given_probs_BHQK is not None:
            return self.given_probs_BHQK
        scores_BHQK = self.scores_BHQK()
        if self.mask_BHQK is None:
            return scores_BHQK.softmax(-1)
        # A row that may attend to nothing would be NaN, its gradient too: give it finite scores, then 0.
        empty_BHQ1 = ~self.mask_BHQK.any(-1, keepdim=True)
        # A look that a GPU would have to wait for, and that a compiled graph has no place for.
        may_look = empty_BHQ1.device.type == "cpu" and not torch.compiler.is_compiling()
        if may_look and not empty_BHQ1.any():
            return scores_BHQK.softmax(-1)
        probs_BHQK = scores_BHQK.masked_fill(empty_BHQ1, 0.0).softmax(-1)
        return probs_BHQK.masked_fill(~self.mask_BHQK, 0.0)


def by_key_head(tensor_BHQX: Tensor, key_heads: int) -> Tensor:
    """(B, J, n, X): the rows of all heads that share a key head, side by side; a view where it can be."""
    return tensor_BHQX.unflatten(1, (key_heads, -1)).flatten(2, 3)


def _products(query_BHQD: Tensor, key_BJKD: Tensor) -> Tensor:
    """(B, H, Q, K): keys are shared among the queries of their group, not copied."""
    products_BJnK = by_key_head(query_BHQD, key_BJKD.shape[1]) @ key_BJKD.transpose(-1, -2)
    return products_BJnK.unflatten(2, (-1, query_BHQD.shape[2])).flatten(1, 2)


@dataclass(frozen=True)
class Totals:
    """Numbers of a whole batch, of which a trace may hold a part of the samples; they are known to the host.

    tokens: labels that are not -100. samples: rows. by_site: of each site that is compared the samples with a
    valid entry in their maps.
    """

    tokens: int
    samples: int
    by_site: Mapping[str, int]


@dataclass
class Trace:
    """A forward pass as a loss sees it: logits and labels aligned (-100 = ignored), attention by site.

    sites: "encoder.self" -> layers in order; hidden: "encoder" -> layer outputs (B, L, d), when asked for; of
    some layers only, where no others were asked for (`Recorded`).
    sample_weight_B: what each example's labels count in the cross-entropy; None: all tokens count alike.
    totals: of the batch that this is a part of: a loss is then this part's summand of the whole batch's.
    None: the trace is the whole.
    sample_numbers: (B,), on the host; what a loss draws for a sample, it draws by its number; None: by
    a count of its calls.
    """

    logits_BLV: Tensor
    labels_BL: Tensor
    sites: Mapping[str, Sequence[LayerTrace]] = field(default_factory=dict)
    hidden: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)
    sample_weight_B: Tensor | None = None
    totals: Totals | None = None
    sample_numbers: np.ndarray[Any, Any] | None = None
