"""MiniLM-v2: relations of queries, keys and values, with all heads re-split into equally many on both sides.

Source: Wang et al., "MiniLMv2: Multi-Head Self-Attention Relation Distillation for Compressing Pretrained
Transformers", Findings of ACL 2021, arXiv:2012.15828.

    X = Q, K, V with all heads concatenated, then split into R relation heads of size d_R
    L = sum over X of the mean over relation heads and valid rows of
        KL(softmax(X_T X_T^T / sqrt(d_R,T)) || softmax(X_S X_S^T / sqrt(d_R,S)))

Domain: projected queries, keys and values. Any numbers of heads, as long as R divides both widths (heads
times head size), with grouped queries also those of keys and values, which are narrower. The paper uses R = 48 for a width of 768 and 64 for 1,024. Relations are among queries (QxQ)
and among keys (KxK), so that cross-attention works too; no causal mask; padded tokens are no row and no key.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from amad_bench.losses.base import LayerLoss, LayerMap, LayerPair
from amad_bench.losses.entries import traced_entries
from amad_bench.losses.maps import check_mask
from amad_bench.losses.relations import relation_kl, valid_tokens

Projected = tuple[Tensor, Tensor, Tensor]  # query_BHQD, key_BJKD, value_BJKD; J <= H


def minilm_v2_loss(
    teacher: Projected,
    student: Projected,
    *,
    query_mask_BQ: Tensor | None = None,
    key_mask_BK: Tensor | None = None,
    relation_heads: int = 8,
) -> Tensor:
    """A scalar in float64 if an input is, else float32. teacher, student: (query_BHQD, key_BJKD, value_BJKD).

    Masks: bool, True = valid; invalid tokens may hold anything and get a gradient of exactly 0. Each relation
    is averaged over samples that have a valid token (none: 0). Raises ValueError where `relation_heads` does
    not divide a width and for shapes and masks that do not fit.
    """
    for what, x_teacher, x_student in zip(("", " of keys", " of values"), teacher, student, strict=True):
        _check_widths(what, x_teacher, x_student, relation_heads)
    rows_BQ, keys_BK = _tokens(query_mask_BQ, key_mask_BK, teacher)
    tokens = (rows_BQ, keys_BK, keys_BK)
    terms = [
        relation_kl(_resplit(x_teacher, relation_heads), _resplit(x_student, relation_heads), tokens_BL)
        for x_teacher, x_student, tokens_BL in zip(teacher, student, tokens, strict=True)
    ]
    return terms[0] + terms[1] + terms[2]


def _check_widths(what: str, teacher_BHLD: Tensor, student_BHLD: Tensor, relation_heads: int) -> None:
    teacher_heads, teacher_size = teacher_BHLD.shape[1], teacher_BHLD.shape[3]
    student_heads, student_size = student_BHLD.shape[1], student_BHLD.shape[3]
    if teacher_heads * teacher_size % relation_heads or student_heads * student_size % relation_heads:
        raise ValueError(
            f"minilm_v2: relation_heads {relation_heads} must divide both widths, but the teacher has "
            f"{teacher_heads} heads{what} of {teacher_size} and the student {student_heads} of {student_size}"
        )


def _tokens(
    query_mask_BQ: Tensor | None, key_mask_BK: Tensor | None, teacher: Projected
) -> tuple[Tensor | None, Tensor | None]:
    """The given masks; a sample that has no query, or no key, has no token at all."""
    if query_mask_BQ is None and key_mask_BK is None:
        return None, None
    query, key, _ = teacher
    everything_BQ, everything_BK = (x.new_ones(len(x), x.shape[2], dtype=torch.bool) for x in (query, key))
    query_mask_BQ = everything_BQ if query_mask_BQ is None else query_mask_BQ
    key_mask_BK = everything_BK if key_mask_BK is None else key_mask_BK
    check_mask("query_mask_BQ", query_mask_BQ, tuple(everything_BQ.shape))
    check_mask("key_mask_BK", key_mask_BK, tuple(everything_BK.shape))
    return query_mask_BQ & key_mask_BK.any(1, keepdim=True), key_mask_BK & query_mask_BQ.any(1, keepdim=True)


def _resplit(vectors_BHLD: Tensor, relation_heads: int) -> Tensor:
    """(B, H, L, D) to (B, R, L, d_R): the heads side by side, cut anew."""
    concatenated_BLn = vectors_BHLD.transpose(1, 2).flatten(2)
    return concatenated_BLn.reshape(*concatenated_BLn.shape[:2], relation_heads, -1).transpose(1, 2)


class MiniLMv2(LayerLoss):
    """`minilm_v2_loss` on traces."""

    def __init__(
        self,
        sites: Sequence[str] | None = None,
        layer_map: LayerMap = "last",
        *,
        relation_heads: int = 8,
        kernel: str = "auto",
    ) -> None:
        super().__init__(sites, layer_map)
        self.kernel = kernel
        self.relation_heads = relation_heads

    def compare(self, pair: LayerPair) -> Tensor:
        teacher, student = (
            (layer.query_BHQD, layer.key_BJKD, layer.value_BJKD) for layer in (pair.teacher, pair.student)
        )
        shape = (*student[0].shape[:3], student[1].shape[2])
        rows_BQ, keys_BK = valid_tokens(traced_entries(pair.teacher, pair.student), shape)
        return minilm_v2_loss(
            teacher,
            student,
            query_mask_BQ=rows_BQ,
            key_mask_BK=keys_BK,
            relation_heads=self.relation_heads,
        )

    def extra_repr(self) -> str:
        return f"relation_heads={self.relation_heads}"
