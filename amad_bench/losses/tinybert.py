"""TinyBERT: pre-softmax attention scores, head by head, and hidden states through a learned linear map.

Source: Jiao et al., "TinyBERT: Distilling BERT for Natural Language Understanding", Findings of EMNLP 2020,
arXiv:1909.10351.

    L = mean over h and valid entries of (z_T,h - z_S,h)^2  +  hidden_mse,     z = Q K^T * scale + bias

Domain: scores before the softmax (masked entries may hold anything, -inf included) and layer outputs. The
attention term needs as many student heads as teacher heads; `hidden_mse` is the other term alone.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from amad_bench.losses.base import LayerLoss, LayerMap, LayerPair, Outcome
from amad_bench.losses.entries import traced_entries
from amad_bench.losses.hidden_mse import HiddenMse
from amad_bench.losses.maps import check_equal_heads, prepare, valid_entries
from amad_bench.models.attention.trace import Trace


def tinybert_attention_loss(
    teacher_BHQK: Tensor,
    student_BHQK: Tensor,
    *,
    query_mask_BQ: Tensor | None = None,
    key_mask_BK: Tensor | None = None,
    cell_mask_QK: Tensor | None = None,
) -> Tensor:
    """The attention term on pre-softmax scores: a scalar; masks, precision and errors as in `amad_loss`.

    Raises ValueError for different head counts.
    """
    mask_B1QK = valid_entries(teacher_BHQK, student_BHQK, query_mask_BQ, key_mask_BK, cell_mask_QK)
    check_equal_heads("tinybert", teacher_BHQK, student_BHQK, "hidden_mse compares hidden states alone")
    maps = prepare(teacher_BHQK, student_BHQK, mask_B1QK)
    squares_B = (maps.teacher_BHQK - maps.student_BGQK).square().mean(1).sum((1, 2))
    batch, _, queries, keys = teacher_BHQK.shape
    if mask_B1QK is None:
        return squares_B.mean() / (queries * keys)
    entries_B = mask_B1QK.expand(batch, 1, queries, keys).sum((1, 2, 3))
    return (squares_B / entries_B.clamp_min(1)).sum() / (entries_B > 0).sum().clamp_min(1)


class TinyBert(LayerLoss):
    """Both terms on traces recorded with `hidden=True`; `hidden` is the second one, with its parameters."""

    def __init__(self, sites: Sequence[str] | None = None, layer_map: LayerMap = "last") -> None:
        super().__init__(sites, layer_map)
        self.hidden = HiddenMse(sites, layer_map)

    def materialise(self, teacher: Trace | None, student: Trace) -> None:
        self.hidden.materialise(teacher, student)

    def outcome(self, teacher: Trace | None, student: Trace) -> Outcome:
        """{"attention": the sum of both terms, each the mean over its mapped layers}."""
        terms = [self.hidden.outcome(teacher, student), super().outcome(teacher, student)]
        return Outcome({"attention": torch.stack([term.parts["attention"] for term in terms]).sum()})

    def compare(self, pair: LayerPair) -> Tensor:
        mask_B1QK = traced_entries(pair.teacher, pair.student)
        scores = pair.teacher.scores_BHQK(), pair.student.scores_BHQK()
        return tinybert_attention_loss(*scores, cell_mask_QK=mask_B1QK)
