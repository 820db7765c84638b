"""What losses share that compare each teacher head with a mixture of student heads: weights and distances.

Axes as in maps.py. `weights_BHG` sum to 1 over the student heads G.
"""

import torch
from torch import Tensor

from amad_bench.losses.base import Aligned
from amad_bench.losses.maps import (
    Maps,
    check_choice,
    kl_distance,
    norms,
    reduce_heads_and_batch,
    without_autocast,
)

DISTANCES = ("kl", "mse")  # of a teacher head to a mixture of student heads
SIMILARITIES = ("cosine", "l1")


def normalised_products(left_BHN: Tensor, right_BGN: Tensor, order: int = 2) -> Tensor:
    """<l/|l|, r/|r|> of all pairs (..., H, G); normalised after the product, so that no map is copied."""
    scales_BHG = norms(left_BHN, order)[..., :, None] * norms(right_BGN, order)[..., None, :]
    return left_BHN @ right_BGN.mT / scales_BHG


def softmax_of_similarity(
    teacher_BHN: Tensor, student_BGN: Tensor, similarity: str, temperature: float
) -> Tensor:
    """a_BHG, the softmax over student heads of the similarity of vectors; any leading axes.

    Raises ValueError for an unknown similarity and for a temperature that is not above 0.
    """
    check_choice("similarity", similarity, SIMILARITIES)
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature}")
    with without_autocast(teacher_BHN.device):
        similarity_BHG = normalised_products(
            teacher_BHN, student_BGN, order=2 if similarity == "cosine" else 1
        )
        return torch.softmax(similarity_BHG / temperature, dim=-1)


def mixture_loss(
    maps: Maps, weights_BHG: Tensor, distance: str, head_reduction: str, row_reduction: str = "mean"
) -> Aligned:
    """Distance of each teacher head to its mixture of student heads, for any weights that sum to 1 over G.

    Raises ValueError for unknown names of the distance and the reductions.
    """
    check_choice("variant", distance, DISTANCES)
    check_choice("row_reduction", row_reduction, ("mean", "sum"))
    if distance == "mse":
        with without_autocast(weights_BHG.device):
            distance_BH = _gram_mse(maps, weights_BHG)
    else:
        distance_BH = kl_distance(maps.teacher_BHQK, mixture(maps, weights_BHG), maps.rows_B, row_reduction)
    return aligned(distance_BH, maps.rows_B, weights_BHG, head_reduction)


def mixture(maps: Maps, weights_BHG: Tensor) -> Tensor:
    """m_BHQK = sum_g a_hg s_g."""
    with without_autocast(weights_BHG.device):
        return (weights_BHG @ maps.student_BGQK.flatten(2)).view_as(maps.teacher_BHQK)


def aligned(distance_BH: Tensor, rows_B: Tensor, alignment_BHG: Tensor, head_reduction: str) -> Aligned:
    """Reduces the distances of the teacher heads. Raises ValueError for an unknown reduction."""
    check_choice("head_reduction", head_reduction, ("sum", "mean"))
    return Aligned(reduce_heads_and_batch(distance_BH, rows_B, head_reduction), alignment_BHG, rows_B > 0)


def _gram_mse(maps: Maps, weights_BHG: Tensor) -> Tensor:
    """`mse` per head (B, H) in its Gram form, with ^ for unit maps:

    |t^_h|^2 - 2 sum_g a_hg <t^_h, s^_g> + sum_gm a_hg a_hm <s^_g, s^_m>. It cancels near zero (7e-5 in
    float32 where the truth is 0), so it is accumulated in float64.
    """
    teacher_BHN = maps.teacher_BHQK.flatten(2).double()
    student_BGN = maps.student_BGQK.flatten(2).double()
    weights_BHG = weights_BHG.double()
    teacher_squares_BH = (torch.linalg.vector_norm(teacher_BHN, dim=-1) / norms(teacher_BHN)).square()
    cross_BH = (weights_BHG * normalised_products(teacher_BHN, student_BGN)).sum(-1)
    mixture_BH = (weights_BHG @ normalised_products(student_BGN, student_BGN) * weights_BHG).sum(-1)
    return (teacher_squares_BH - 2 * cross_BH + mixture_BH).to(maps.teacher_BHQK.dtype)
