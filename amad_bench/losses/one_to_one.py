"""One-to-one: teacher head h is compared with student head h, the standard approach to equal head counts.

    L = sum_h D(t_h, s_h),  h = 1..min(H, G)
    kl:  D = mean over valid rows of sum_k t log(t / s)        mse:  D = | t_h/|t_h| - s_h/|s_h| |^2

The approach that Zhao et al., AAAI 2024 (doi 10.1609/aaai.v38i7.28583) start from: with H != G it can only
drop the surplus heads, which must be asked for (`drop: extra`). Domain: attention probabilities.
"""

from torch import Tensor

from amad_bench.losses.kernels.choice import KERNELS
from amad_bench.losses.maps import (
    check_choice,
    check_equal_heads,
    head_distance,
    prepare,
    reduce_heads_and_batch,
    valid_entries,
)
from amad_bench.losses.query_rows import SampledRows


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
    mask_B1QK = valid_entries(teacher_BHQK, student_BGQK, query_mask_BQ, key_mask_BK, cell_mask_QK)
    check_choice("drop", drop, ("refuse", "extra"))
    if drop == "refuse":
        instead = "set drop='extra' to leave the surplus heads out"
        check_equal_heads("one_to_one", teacher_BHQK, student_BGQK, instead)
    kept = min(teacher_BHQK.shape[1], student_BGQK.shape[1])
    maps = prepare(teacher_BHQK[:, :kept], student_BGQK[:, :kept], mask_B1QK)
    distance_BH = head_distance(distance, *maps)
    return reduce_heads_and_batch(distance_BH, maps.rows_B, head_reduction)


class OneToOne(SampledRows):
    """`one_to_one_loss` on traces."""

    function = staticmethod(one_to_one_loss)
    method, kernels = "one_to_one", (*KERNELS, "triton")
