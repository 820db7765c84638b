"""Control: AMAD with every alignment weight fixed at 1/G: teacher heads see the plain mean of student heads.

    kl:  sum_h KL(t_h || sum_g s_g / G)        mse:  sum_h | t_h/|t_h| - sum_g s_g/|s_g| / G |^2

At tau = 1 AMAD's weights (Zhao et al. 2024) cannot be sharp: it must beat this (docs/methods.md#amad-22).
Domain: attention probabilities; any numbers of heads.
"""

import torch
from torch import Tensor

from amad_bench.losses.aligned import Aligned, loss_alone
from amad_bench.losses.base import AlignedMapLoss
from amad_bench.losses.kernels.choice import KERNELS
from amad_bench.losses.maps import valid_entries
from amad_bench.losses.mixture import masked_maps, mixture_loss
from amad_bench.losses.query_rows import SampledRows


@loss_alone
def student_mean_loss(
    teacher_BHQK: Tensor,
    student_BGQK: Tensor,
    *,
    query_mask_BQ: Tensor | None = None,
    key_mask_BK: Tensor | None = None,
    cell_mask_QK: Tensor | None = None,
    distance: str = "kl",
    head_reduction: str = "sum",
) -> Aligned:
    """A scalar; masks, precision, reductions and errors as in `amad_loss` (mean over valid rows)."""
    mask_B1QK = valid_entries(teacher_BHQK, student_BGQK, query_mask_BQ, key_mask_BK, cell_mask_QK)
    (batch, heads), student_heads = teacher_BHQK.shape[:2], student_BGQK.shape[1]
    shape = batch, 1, heads, student_heads
    weights_BRHG = student_BGQK.new_full(shape, 1 / student_heads, dtype=torch.float64)
    maps = masked_maps(teacher_BHQK, student_BGQK, mask_B1QK)
    return mixture_loss(maps, weights_BRHG, distance, head_reduction)


class StudentMean(SampledRows, AlignedMapLoss):
    """`student_mean_loss` on traces."""

    function = staticmethod(student_mean_loss)
    method, kernels = "student_mean", (*KERNELS, "triton")
