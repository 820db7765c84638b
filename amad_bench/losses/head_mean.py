"""Head mean: the mean of the teacher's heads is compared with the mean of the student's.

    L = D(mean_h t_h, mean_g s_g)
    kl:  D = mean over valid rows of sum_k t log(t / s)        mse:  D = | t/|t| - s/|s| |^2

The plainest comparison across head counts; it cannot tell heads apart (docs/methods.md#head-mean-1).
Domain: attention probabilities; any numbers of heads.
"""

from torch import Tensor

from amad_bench.losses.kernels.choice import KERNELS
from amad_bench.losses.maps import head_distance, prepare, reduce_heads_and_batch, valid_entries
from amad_bench.losses.query_rows import SampledRows


def head_mean_loss(
    teacher_BHQK: Tensor,
    student_BGQK: Tensor,
    *,
    query_mask_BQ: Tensor | None = None,
    key_mask_BK: Tensor | None = None,
    cell_mask_QK: Tensor | None = None,
    distance: str = "kl",
) -> Tensor:
    """A scalar; masks, precision and errors as in `amad_loss` (mean over valid rows)."""
    mask_B1QK = valid_entries(teacher_BHQK, student_BGQK, query_mask_BQ, key_mask_BK, cell_mask_QK)
    maps = prepare(teacher_BHQK, student_BGQK, mask_B1QK)
    teacher_B1QK = maps.teacher_BHQK.mean(1, keepdim=True)
    student_B1QK = maps.student_BGQK.mean(1, keepdim=True)
    distance_B1 = head_distance(distance, teacher_B1QK, student_B1QK, maps.rows_B)
    return reduce_heads_and_batch(distance_B1, maps.rows_B, "mean")


class HeadMean(SampledRows):
    """`head_mean_loss` on traces."""

    function = staticmethod(head_mean_loss)
    method, kernels = "head_mean", (*KERNELS, "triton")
