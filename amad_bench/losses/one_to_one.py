"""One-to-one: teacher head h is compared with student head h, the standard approach to equal head counts.

    L = sum_h D(t_h, s_h),  h = 1..min(H, G)
    kl:  D = mean over valid rows of sum_k t log(t / s)        mse:  D = | t_h/|t_h| - s_h/|s_h| |^2

The approach that Zhao et al., AAAI 2024 (doi 10.1609/aaai.v38i7.28583) start from: with H != G it can only
drop the surplus heads, which must be asked for (`drop: extra`). Domain: attention probabilities.
"""

from torch import Tensor

from amad_bench.losses.base import MapLoss
from amad_bench.losses.maps import (
    check_choice,
    kl_distance,
    mse_distance,
    prepare,
    reduce_heads_and_batch,
    valid_cells,
)


def one_to_one_loss(
    teacher_BHQK: Tensor,
    student_BGQK: Tensor,
    *,
    query_mask_BQ: Tensor | None = None,
    key_mask_BK: Tensor | None = None,
    cell_mask_QK: Tensor | None = None,
    drop: str = "refuse",
    distance: str = "kl",
    head_reduction: str = "sum",
) -> Tensor:
    """A scalar; masks, precision and reductions as in `amad_loss` (mean over valid rows).

    Raises ValueError for different head counts unless `drop` is "extra".
    """
    mask_B1QK = valid_cells(teacher_BHQK, student_BGQK, query_mask_BQ, key_mask_BK, cell_mask_QK)
    return one_to_one_over_cells(
        teacher_BHQK, student_BGQK, mask_B1QK, drop=drop, distance=distance, head_reduction=head_reduction
    )


def one_to_one_over_cells(
    teacher_BHQK: Tensor,
    student_BGQK: Tensor,
    mask_B1QK: Tensor | None,
    *,
    drop: str = "refuse",
    distance: str = "kl",
    head_reduction: str = "sum",
) -> Tensor:
    """`one_to_one_loss` with one mask that broadcasts to (B, 1, Q, K)."""
    check_choice("drop", drop, ("refuse", "extra"))
    check_choice("distance", distance, ("kl", "mse"))
    check_choice("head_reduction", head_reduction, ("sum", "mean"))
    teacher_heads, student_heads = teacher_BHQK.shape[1], student_BGQK.shape[1]
    if teacher_heads != student_heads and drop != "extra":
        raise ValueError(
            f"one_to_one compares head h with head h, but the teacher has {teacher_heads} heads and the "
            f"student {student_heads}; set drop='extra' to leave the surplus heads out"
        )
    kept = min(teacher_heads, student_heads)
    maps = prepare(teacher_BHQK[:, :kept], student_BGQK[:, :kept], mask_B1QK)
    if distance == "mse":
        distance_BH = mse_distance(maps.teacher_BHQK, maps.student_BGQK)
    else:
        distance_BH = kl_distance(maps.teacher_BHQK, maps.student_BGQK, maps.rows_B)
    return reduce_heads_and_batch(distance_BH, maps.rows_B, head_reduction)


class OneToOne(MapLoss):
    """`one_to_one_loss` on traces. Options: those of `one_to_one_over_cells`."""

    over_cells = staticmethod(one_to_one_over_cells)
