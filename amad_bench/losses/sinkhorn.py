"""Sinkhorn: AMAD with the weights of entropic optimal transport, which must use every student head alike.

    C_hg = 1 - cos(t_h, s_g)     P = argmin over plans with uniform marginals of <P, C> + epsilon sum P log P
    a_hg = H P_hg                L as AMAD's `kl` or `mse` with these weights

Source: ours as a loss (docs/methods.md#sinkhorn-1); the algorithm is Cuturi's, "Sinkhorn Distances", NIPS
2013, in the log domain: epsilon = .05, 100 iterations, each fitting the columns, then the rows. Then the plan
is rounded onto its marginals (Altschuler, Weed and Rigollet, NIPS 2017, algorithm 2). Without that, sharp
maps of one query are up to 3e-3 off after 100 iterations and 1e-5 can take over 5,000; where the iterations
have converged, as for most maps, rounding changes nothing; elsewhere it moves loss and gradient, too. The
gradient passes through all of it unless `detach_alignment`.
Domain: attention probabilities; any numbers of heads.
"""

import math

import torch
from torch import Tensor

from amad_bench.losses.aligned import Aligned, loss_alone
from amad_bench.losses.base import AlignedMapLoss
from amad_bench.losses.chunked import head_products
from amad_bench.losses.maps import EPSILON, valid_entries
from amad_bench.losses.mixture import cosines, masked_maps, mixture_loss

ITERATIONS = 100


@loss_alone
def sinkhorn_loss(
    teacher_BHQK: Tensor,
    student_BGQK: Tensor,
    *,
    query_mask_BQ: Tensor | None = None,
    key_mask_BK: Tensor | None = None,
    cell_mask_QK: Tensor | None = None,
    distance: str = "kl",
    epsilon: float = 0.05,
    detach_alignment: bool = False,
    head_reduction: str = "sum",
) -> Aligned:
    """A scalar; masks, precision, reductions and errors as in `amad_loss` (mean over valid rows).

    Raises ValueError for an epsilon that is not above 0, too.
    """
    mask_B1QK = valid_entries(teacher_BHQK, student_BGQK, query_mask_BQ, key_mask_BK, cell_mask_QK)
    maps = masked_maps(teacher_BHQK, student_BGQK, mask_B1QK)
    products = head_products(*maps.operands)
    plan_BHG = transport_plan(1 - cosines(products).cross_BRHG[:, 0], epsilon)
    weights_BRHG = plan_BHG[:, None] * plan_BHG.shape[1]
    if detach_alignment:
        weights_BRHG = weights_BRHG.detach()
    return mixture_loss(maps, weights_BRHG, distance, head_reduction, products=products)


def transport_plan(cost_BHG: Tensor, epsilon: float = 0.05) -> Tensor:
    """plan_BHG >= 0 whose rows sum to 1/H and columns to 1/G, to rounding error.

    Raises ValueError for an epsilon that is not above 0.
    """
    if not epsilon > 0:
        raise ValueError(f"epsilon must be above 0, not {epsilon}")
    row, column = 1 / cost_BHG.shape[1], 1 / cost_BHG.shape[2]
    kernel_BHG = -cost_BHG / epsilon  # everything in logarithms: exp(-1 / .05) would lose digits
    rows_BH1 = torch.zeros_like(cost_BHG[:, :, :1])
    columns_B1G = torch.zeros_like(cost_BHG[:, :1, :])
    for _ in range(ITERATIONS):
        columns_B1G = math.log(column) - torch.logsumexp(kernel_BHG + rows_BH1, dim=1, keepdim=True)
        rows_BH1 = math.log(row) - torch.logsumexp(kernel_BHG + columns_B1G, dim=2, keepdim=True)
    return _rounded((kernel_BHG + rows_BH1 + columns_B1G).exp(), row, column)


def _rounded(plan_BHG: Tensor, row: float, column: float) -> Tensor:
    """The plan with too full columns scaled down (its rows fit already) and what is missing spread."""
    plan_BHG = plan_BHG * (column / plan_BHG.sum(1, keepdim=True)).clamp_max(1)
    missing_BH1 = (row - plan_BHG.sum(2, keepdim=True)).clamp_min(0)
    missing_B1G = (column - plan_BHG.sum(1, keepdim=True)).clamp_min(0)
    # Both totals are the same number, but for rounding: the larger one keeps every factor below 1.
    total_B11 = torch.maximum(missing_BH1.sum(1, keepdim=True), missing_B1G.sum(2, keepdim=True))
    return plan_BHG + missing_BH1 * (missing_B1G / total_B11.clamp_min(EPSILON))


class Sinkhorn(AlignedMapLoss):
    """`sinkhorn_loss` on traces."""

    function = staticmethod(sinkhorn_loss)
