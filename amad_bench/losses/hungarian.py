"""Hungarian: teacher heads are assigned to student heads one to one, at the least total distance.

    L = sum_h D(t_h, s_pi(h)),   pi = the best one-to-one assignment of the H x G rectangle by D, per sample;
                                 each teacher head left over (H > G) goes to its nearest student head
    kl:  D = mean over valid rows of sum_k t log(t / s)        mse:  D = | t_h/|t_h| - s_g/|s_g| |^2

Source: ours, no published distillation paper was found (docs/methods.md#hungarian-1); assigned by scipy's
`linear_sum_assignment` (Crouse 2016, doi 10.1109/TAES.2016.140952), and no gradient passes through it.
Domain: attention probabilities; any numbers of heads. Where H < G the surplus student heads are free.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from amad_bench.losses.aligned import Aligned, aligned, loss_alone
from amad_bench.losses.base import AlignedMapLoss
from amad_bench.losses.chunked import head_products
from amad_bench.losses.maps import (
    EPSILON,
    Maps,
    entropies,
    head_distance,
    prepare,
    valid_entries,
    without_autocast,
)
from amad_bench.losses.mixture import cosines


@loss_alone
def hungarian_loss(
    teacher_BHQK: Tensor,
    student_BGQK: Tensor,
    *,
    query_mask_BQ: Tensor | None = None,
    key_mask_BK: Tensor | None = None,
    cell_mask_QK: Tensor | None = None,
    distance: str = "kl",
    head_reduction: str = "sum",
) -> Aligned:
    """A scalar; masks, precision, reductions and errors as in `amad_loss` (mean over valid rows).

    Raises ImportError, with what to install, where scipy is missing.
    """
    mask_B1QK = valid_entries(teacher_BHQK, student_BGQK, query_mask_BQ, key_mask_BK, cell_mask_QK)
    maps = prepare(teacher_BHQK, student_BGQK, mask_B1QK)
    with torch.no_grad():
        assigned_BH = assign(pairwise_distances(maps, distance))
    samples_B1 = torch.arange(len(assigned_BH), device=assigned_BH.device)[:, None]
    student_BHQK = maps.student_BGQK[samples_B1, assigned_BH]
    distance_BH = head_distance(distance, maps.teacher_BHQK, student_BHQK, maps.rows_B)
    alignment_BHG = F.one_hot(assigned_BH, student_BGQK.shape[1]).to(distance_BH.dtype)
    return aligned(distance_BH, maps.rows_B, alignment_BHG, head_reduction)


def pairwise_distances(maps: Maps, distance: str) -> Tensor:
    """Distances D of every teacher head to every student head (B, H, G), without a map per pair."""
    if distance == "mse":
        unit = cosines(head_products(maps.teacher_BHQK, maps.student_BGQK, None))
        students_BRG = unit.student_BRGG.diagonal(dim1=-2, dim2=-1)
        squares_BRHG = unit.teacher_squares_BRH[..., :, None] + students_BRG[..., None, :]
        return (squares_BRHG - 2 * unit.cross_BRHG)[:, 0]
    teacher_BHN, student_BGN = maps.teacher_BHQK.flatten(2), maps.student_BGQK.flatten(2)
    with without_autocast(teacher_BHN.device):
        negative_entropy_BH = -entropies(teacher_BHN).sum(-1)
        cross_BHG = teacher_BHN @ student_BGN.clamp_min(EPSILON).log().mT
        return (negative_entropy_BH[:, :, None] - cross_BHG) / maps.rows_B.clamp_min(1)[:, None, None]


def assign(cost_BHG: Tensor) -> Tensor:
    """assigned_BH: a student head for every teacher head, at the least total cost of each sample.

    One to one as far as that goes; teacher heads left over go to their cheapest student head. Costs that are
    not finite, as after a divergence, count as 0, so that the loss shows them instead of an exception.
    """
    try:
        from scipy.optimize import linear_sum_assignment  # pyright: ignore (scipy has no types)
    except ImportError as error:
        raise ImportError("the loss 'hungarian' needs scipy; pip install 'amad-bench[pipeline]'") from error
    cost = torch.nan_to_num(cost_BHG, nan=0.0, posinf=0.0, neginf=0.0).double().cpu().numpy()
    assigned_BH = cost.argmin(2)
    for sample, cost_HG in enumerate(cost):
        rows, columns = linear_sum_assignment(cost_HG)  # pyright: ignore[reportUnknownVariableType]
        assigned_BH[sample, rows] = columns
    return torch.as_tensor(assigned_BH.astype(np.int64)).to(cost_BHG.device)


class Hungarian(AlignedMapLoss):
    """`hungarian_loss` on traces."""

    function = staticmethod(hungarian_loss)
