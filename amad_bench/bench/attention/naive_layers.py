"""Losses of two layers as everyone writes them: softmax of scores, then the formula as printed, by autograd.

Independent of the package's own maps and masks, which are measured against it.
Axes: B batch, H heads, J key heads, Q queries, K keys, L tokens, R relation heads, d width.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from amad_bench.bench.naive_losses import FLOOR
from amad_bench.models.attention.trace import LayerTrace

MapFunction = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # teacher_BHQK, student_BGQK, mask -> scalar


def naive_maps(layer: LayerTrace) -> Tensor:
    """probs_BHQK in float32: as an eager attention makes them, scores in the type of queries and keys."""
    copies = layer.query_BHQD.shape[1] // layer.key_BJKD.shape[1]
    key_BHKD = layer.key_BJKD.repeat_interleave(copies, 1) if copies > 1 else layer.key_BJKD
    scores_BHQK = layer.query_BHQD @ key_BHKD.mT * layer.scale
    if layer.bias_BHQK is not None:
        scores_BHQK = scores_BHQK + layer.bias_BHQK
    if layer.mask_BHQK is not None:  # finite: a row that attends to nothing is no NaN
        scores_BHQK = scores_BHQK.masked_fill(~layer.mask_BHQK, torch.finfo(scores_BHQK.dtype).min)
    return scores_BHQK.softmax(-1, torch.float32)


def naive_entries(teacher: LayerTrace, student: LayerTrace) -> Tensor | None:
    """Entries that both layers hold for valid, (B, 1, Q, K) or broadcast to it; None: all of them."""
    mask_B1QK: Tensor | None = None
    for layer in (teacher, student):
        for own in (None if layer.every_query else layer.query_mask_BQ[:, None, :, None], layer.mask_BHQK):
            if own is not None:
                mask_B1QK = own if mask_B1QK is None else mask_B1QK & own
    return mask_B1QK


def naive_loss(function: MapFunction, teacher: LayerTrace, student: LayerTrace) -> Tensor:
    """A scalar: the function of both layers' maps."""
    return function(naive_maps(teacher), naive_maps(student), naive_entries(teacher, student))


def naive_minilm_v2(teacher: LayerTrace, student: LayerTrace, relation_heads: int = 8) -> Tensor:
    """A scalar: MiniLM-v2 (Wang et al. 2021, arXiv:2012.15828) of layers without masks."""
    total = student.query_BHQD.new_zeros((), dtype=torch.float32)
    for own, other in zip(_projected(teacher), _projected(student), strict=True):
        relation_BRLL, other_BRLL = _relation(own, relation_heads), _relation(other, relation_heads)
        distance_BRLL = relation_BRLL * (
            relation_BRLL.clamp_min(FLOOR).log() - other_BRLL.clamp_min(FLOOR).log()
        )
        total = total + distance_BRLL.sum(-1).mean()
    return total


def _projected(layer: LayerTrace) -> tuple[Tensor, Tensor, Tensor]:
    return layer.query_BHQD, layer.key_BJKD, layer.value_BJKD


def _relation(vectors_BHLD: Tensor, relation_heads: int) -> Tensor:
    vectors_BLd = vectors_BHLD.transpose(1, 2).flatten(2)
    vectors_BRLD = vectors_BLd.unflatten(2, (relation_heads, -1)).transpose(1, 2)
    scores_BRLL = vectors_BRLD @ vectors_BRLD.mT / vectors_BRLD.shape[-1] ** 0.5
    return scores_BRLL.softmax(-1, torch.float32)
