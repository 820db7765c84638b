"""AMAD's variant `token` (Zhao et al. 2024, eq. 12): every query row has an alignment of its own.

    per query row l, with T_l in R^{HxK} and S_l in R^{GxK}:   L = sum_l KL(T_l || softmax(T_l S_l^T) S_l)

The similarity of row-wise vectors is cosine (or l1, which leaves the printed inner product, as rows of
distributions have an L1 norm of 1); summed over heads; mean over valid rows, or their sum as printed.
Domain: attention probabilities; any numbers of heads.
"""

from torch import Tensor

from amad_bench.losses.base import Aligned
from amad_bench.losses.maps import Maps, check_choice, kl_distance, without_autocast
from amad_bench.losses.mixture import aligned, softmax_of_similarity


def token_alignment(maps: Maps, similarity: str, temperature: float) -> Tensor:
    """a_BQHG of `prepare`d maps; 1/G in rows without a valid cell."""
    return softmax_of_similarity(
        maps.teacher_BHQK.transpose(1, 2), maps.student_BGQK.transpose(1, 2), similarity, temperature
    )


def token_loss(
    maps: Maps, weights_BQHG: Tensor, mask_B1QK: Tensor | None, head_reduction: str, row_reduction: str
) -> Aligned:
    """KL of each teacher row to its mixture of student rows; the alignment is the mean over valid rows."""
    check_choice("row_reduction", row_reduction, ("mean", "sum"))
    with without_autocast(weights_BQHG.device):
        mixture_BQHK = weights_BQHG @ maps.student_BGQK.transpose(1, 2)
    distance_BH = kl_distance(maps.teacher_BHQK, mixture_BQHK.transpose(1, 2), maps.rows_B, row_reduction)
    counted_BQHG = weights_BQHG.detach()
    if mask_B1QK is not None:
        counted_BQHG = counted_BQHG * mask_B1QK.any(-1).transpose(1, 2)[..., None]
    alignment_BHG = counted_BQHG.sum(1) / maps.rows_B.clamp_min(1)[:, None, None]
    return aligned(distance_BH, maps.rows_B, alignment_BHG, head_reduction)
