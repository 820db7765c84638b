"""TinyBERT: pre-softmax attention scores, head by head, and hidden states through a learned linear map.

Source: Jiao et al., "TinyBERT: Distilling BERT for Natural Language Understanding", Findings of EMNLP 2020,
arXiv:1909.10351.

    L = mean over h and valid cells of (z_T,h - z_S,h)^2  +  hidden_mse,     z = Q K^T * scale + bias

Domain: scores before the softmax (masked cells may hold anything, -inf included) and layer outputs. The
attention term needs as many student heads as teacher heads; `attention: false` leaves the hidden term alone.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from amad_bench.losses.base import LayerLoss, LayerMap, LayerPair, traced_cells
from amad_bench.losses.hidden_mse import HiddenMse
from amad_bench.losses.maps import check_shapes, prepare, valid_cells
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
    mask_B1QK = valid_cells(teacher_BHQK, student_BHQK, query_mask_BQ, key_mask_BK, cell_mask_QK)
    return tinybert_attention_over_cells(teacher_BHQK, student_BHQK, mask_B1QK)


def tinybert_attention_over_cells(
    teacher_BHQK: Tensor, student_BHQK: Tensor, mask_B1QK: Tensor | None
) -> Tensor:
    """`tinybert_attention_loss` with one mask that broadcasts to (B, 1, Q, K)."""
    batch, teacher_heads, queries, keys = teacher_BHQK.shape
    if teacher_heads != student_BHQK.shape[1]:
        raise ValueError(
            f"tinybert compares head h with head h, but the teacher has {teacher_heads} heads and the "
            f"student {student_BHQK.shape[1]}; set attention=False to compare hidden states alone"
        )
    maps = prepare(teacher_BHQK, student_BHQK, mask_B1QK)
    squares_B = (maps.teacher_BHQK - maps.student_BGQK).square().mean(1).sum((1, 2))
    if mask_B1QK is None:
        return squares_B.mean() / (queries * keys)
    cells_B = mask_B1QK.expand(batch, 1, queries, keys).sum((1, 2, 3))
    return (squares_B / cells_B.clamp_min(1)).sum() / (cells_B > 0).sum().clamp_min(1)


class TinyBert(LayerLoss):
    """Both terms on traces recorded with `hidden=True`; `hidden` is the second one, with its parameters."""

    def __init__(
        self, sites: Sequence[str] | None = None, layer_map: LayerMap = "last", *, attention: bool = True
    ) -> None:
        super().__init__(sites, layer_map)
        self.attention = attention
        self.hidden = HiddenMse(sites, layer_map)

    def materialise(self, teacher: Trace | None, student: Trace) -> None:
        self.hidden.materialise(teacher, student)

    def forward(self, teacher: Trace, student: Trace) -> dict[str, Tensor]:
        """{"attention": the sum of both terms, each the mean over its mapped layers}."""
        terms = [self.hidden(teacher, student)["attention"]]
        if self.attention:
            terms.append(super().forward(teacher, student)["attention"])
        return {"attention": torch.stack(terms).sum()}

    def compare(self, pair: LayerPair) -> Tensor:
        teacher_BHQK, student_BHQK = pair.teacher.scores_BHQK(), pair.student.scores_BHQK()
        check_shapes(teacher_BHQK, student_BHQK)
        mask_B1QK = traced_cells(pair.teacher, pair.student, student_BHQK.shape)
        return tinybert_attention_over_cells(teacher_BHQK, student_BHQK, mask_B1QK)

    def extra_repr(self) -> str:
        return f"attention={self.attention}"
