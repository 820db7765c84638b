"""Relations of a layer's vectors to each other, softmax(X X^T / sqrt(D)): what MiniLM and MiniLM-v2 compare.

Axes: B batch, H heads, L tokens, D size of a vector, Q queries, K keys.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from amad_bench.losses.maps import (
    full_precision,
    kl_distance,
    prepare,
    reduce_heads_and_batch,
    without_autocast,
)


def valid_tokens(mask_B1QK: Tensor | None, shape: Sequence[int]) -> tuple[Tensor | None, Tensor | None]:
    """(queries_BQ that may attend to something, keys_BK that some valid row may attend to); None = all.

    `shape`: (B, heads, Q, K) of the maps.
    """
    if mask_B1QK is None:
        return None, None
    batch, _, queries, keys = shape
    entries_BQK = mask_B1QK.expand(batch, 1, queries, keys)[:, 0]
    return entries_BQK.any(2), entries_BQK.any(1)


def relation_kl(teacher_BHLD: Tensor, student_BHLD: Tensor, tokens_BL: Tensor | None) -> Tensor:
    """KL of the teacher's to the student's relations: mean over heads and valid rows, then over samples.

    The sizes D may differ. Invalid tokens are no row and no key and may hold anything.
    Raises ValueError for vectors that differ in more than their size.
    """
    teacher, student = tuple(teacher_BHLD.shape), tuple(student_BHLD.shape)
    if len(teacher) != 4 or len(student) != 4 or teacher[:3] != student[:3]:
        raise ValueError(
            f"teacher vectors {teacher} and student vectors {student} must be (batch, heads, tokens, size), "
            "equal in all but size"
        )
    teacher_BHLD, student_BHLD = full_precision(teacher_BHLD, student_BHLD)
    mask_B1LL = None if tokens_BL is None else tokens_BL[:, None, :, None] & tokens_BL[:, None, None, :]
    maps = prepare(_relations(teacher_BHLD, tokens_BL), _relations(student_BHLD, tokens_BL), mask_B1LL)
    distance_BH = kl_distance(maps.teacher_BHQK, maps.student_BGQK, maps.rows_B)
    return reduce_heads_and_batch(distance_BH, maps.rows_B, "mean")


def _relations(vectors_BHLD: Tensor, tokens_BL: Tensor | None) -> Tensor:
    if tokens_BL is not None:
        vectors_BHLD = torch.where(tokens_BL[:, None, :, None], vectors_BHLD, 0.0)
    with without_autocast(vectors_BHLD.device):
        scores_BHLL = vectors_BHLD @ vectors_BHLD.mT * vectors_BHLD.shape[-1] ** -0.5
    if tokens_BL is not None:  # finite, so that a sample without tokens is no NaN: its rows are dropped later
        scores_BHLL = scores_BHLL.masked_fill(
            ~tokens_BL[:, None, None, :], torch.finfo(scores_BHLL.dtype).min
        )
    return scores_BHLL.softmax(-1)
