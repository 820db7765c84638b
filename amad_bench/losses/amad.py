"""AMAD: every teacher head is compared with a soft mixture of all student heads.

Source: Zhao et al., "No Head Left Behind: Multi-Head Alignment Distillation for Transformers", AAAI 2024,
doi 10.1609/aaai.v38i7.28583. Per sample, over valid cells, with t_h and s_g the flattened maps (METHODS.md):

    w_hg = <t_h, s_g> / (|t_h| |s_g|)               cosine, eq. 2; `similarity: l1` takes L1 norms instead
    a_hg = exp(w_hg / tau) / sum_m exp(w_hm / tau)  softmax over STUDENT heads; tau = 1 as published
    kl:   sum_h KL(t_h || sum_g a_hg s_g)           by query rows, eq. 9
    mse:  sum_h | t_h/|t_h| - sum_g a_hg s_g/|s_g| |^2           eq. 4-6

Domain: attention probabilities, every valid row sums to 1. Any numbers of heads H and G. The gradient passes
through a_hg unless `detach_alignment`. Every a_hg is positive, so a student that copies distinct teacher
heads is not at the optimum.
"""

import torch
from torch import Tensor

from amad_bench.losses.base import MapLoss
from amad_bench.losses.maps import (
    Maps,
    check_choice,
    kl_distance,
    norms,
    prepare,
    reduce_heads_and_batch,
    valid_cells,
    without_autocast,
)

VARIANTS = ("kl", "mse")


def amad_loss(
    teacher_BHQK: Tensor,
    student_BGQK: Tensor,
    *,
    query_mask_BQ: Tensor | None = None,
    key_mask_BK: Tensor | None = None,
    cell_mask_QK: Tensor | None = None,
    variant: str = "kl",
    similarity: str = "cosine",
    temperature: float = 1.0,
    detach_alignment: bool = False,
    head_reduction: str = "sum",
    row_reduction: str = "mean",
    projection: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """AMAD of two sets of attention maps: a scalar in float64 if an input is, else float32; `kl` in nats.

    Masks: bool, True = valid; masked cells may hold anything and get a gradient of exactly 0. Mean over
    samples with a valid cell (none: 0); over heads `head_reduction` (sum, as printed, or mean); over valid
    rows `row_reduction` (mean or sum; `mse` has no rows). `projection` is for the variant "projected", which
    is not available yet. `mse` needs a device with float64.
    Raises ValueError for unknown names, a temperature that is not above 0, shapes and masks that do not fit.
    """
    mask_B1QK = valid_cells(teacher_BHQK, student_BGQK, query_mask_BQ, key_mask_BK, cell_mask_QK)
    check_choice("variant", variant, VARIANTS)
    if projection is not None:
        raise ValueError(f"projection is not used by variant {variant!r}; leave it out")
    return amad_over_cells(
        teacher_BHQK,
        student_BGQK,
        mask_B1QK,
        variant=variant,
        similarity=similarity,
        temperature=temperature,
        detach_alignment=detach_alignment,
        head_reduction=head_reduction,
        row_reduction=row_reduction,
    )


def alignment_weights(
    teacher_BHQK: Tensor,
    student_BGQK: Tensor,
    *,
    query_mask_BQ: Tensor | None = None,
    key_mask_BK: Tensor | None = None,
    cell_mask_QK: Tensor | None = None,
    similarity: str = "cosine",
    temperature: float = 1.0,
) -> Tensor:
    """a_BHG: how much each teacher head listens to each student head; sums to 1 over student heads.

    Masks and errors as in `amad_loss`. At temperature 1 no weight exceeds e / (e + G - 1).
    """
    mask_B1QK = valid_cells(teacher_BHQK, student_BGQK, query_mask_BQ, key_mask_BK, cell_mask_QK)
    return _alignment(prepare(teacher_BHQK, student_BGQK, mask_B1QK), similarity, temperature)


def amad_over_cells(
    teacher_BHQK: Tensor,
    student_BGQK: Tensor,
    mask_B1QK: Tensor | None,
    *,
    variant: str = "kl",
    similarity: str = "cosine",
    temperature: float = 1.0,
    detach_alignment: bool = False,
    head_reduction: str = "sum",
    row_reduction: str = "mean",
) -> Tensor:
    """`amad_loss` with one mask that broadcasts to (B, 1, Q, K), as traces have it."""
    check_choice("variant", variant, VARIANTS)
    maps = prepare(teacher_BHQK, student_BGQK, mask_B1QK)
    weights_BHG = _alignment(maps, similarity, temperature)
    if detach_alignment:
        weights_BHG = weights_BHG.detach()
    return mixture_loss(maps, weights_BHG, variant, head_reduction, row_reduction)


def mixture_loss(
    maps: Maps, weights_BHG: Tensor, variant: str, head_reduction: str, row_reduction: str = "mean"
) -> Tensor:
    """Distance of each teacher head to its mixture of student heads, for any weights that sum to 1 over G."""
    check_choice("head_reduction", head_reduction, ("sum", "mean"))
    check_choice("row_reduction", row_reduction, ("mean", "sum"))
    with without_autocast(weights_BHG.device):
        if variant == "mse":
            distance_BH = _gram_mse(maps, weights_BHG)
        else:
            mixture_BHQK = (weights_BHG @ maps.student_BGQK.flatten(2)).view_as(maps.teacher_BHQK)
            distance_BH = kl_distance(maps.teacher_BHQK, mixture_BHQK, maps.rows_B, row_reduction)
        return reduce_heads_and_batch(distance_BH, maps.rows_B, head_reduction)


def _alignment(maps: Maps, similarity: str, temperature: float) -> Tensor:
    check_choice("similarity", similarity, ("cosine", "l1"))
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature}")
    teacher_BHN, student_BGN = maps.teacher_BHQK.flatten(2), maps.student_BGQK.flatten(2)
    with without_autocast(teacher_BHN.device):
        similarity_BHG = _normalised_products(
            teacher_BHN, student_BGN, order=2 if similarity == "cosine" else 1
        )
        return torch.softmax(similarity_BHG / temperature, dim=-1)


def _normalised_products(left_BHN: Tensor, right_BGN: Tensor, order: int = 2) -> Tensor:
    """<l/|l|, r/|r|> of all pairs (B, H, G); normalised after the product, so that no map is copied."""
    scales_BHG = norms(left_BHN, order)[:, :, None] * norms(right_BGN, order)[:, None, :]
    return left_BHN @ right_BGN.mT / scales_BHG


def _gram_mse(maps: Maps, weights_BHG: Tensor) -> Tensor:
    """`mse` per head (B, H) in its Gram form, with ^ for unit maps:

    |t^_h|^2 - 2 sum_g a_hg <t^_h, s^_g> + sum_gm a_hg a_hm <s^_g, s^_m>. It cancels near zero (7e-5 in
    float32 where the truth is 0), so it is accumulated in float64.
    """
    teacher_BHN = maps.teacher_BHQK.flatten(2).double()
    student_BGN = maps.student_BGQK.flatten(2).double()
    weights_BHG = weights_BHG.double()
    teacher_squares_BH = (torch.linalg.vector_norm(teacher_BHN, dim=-1) / norms(teacher_BHN)).square()
    cross_BH = (weights_BHG * _normalised_products(teacher_BHN, student_BGN)).sum(-1)
    mixture_BH = (weights_BHG @ _normalised_products(student_BGN, student_BGN) * weights_BHG).sum(-1)
    return (teacher_squares_BH - 2 * cross_BH + mixture_BH).to(maps.teacher_BHQK.dtype)


class Amad(MapLoss):
    """AMAD on traces. Options: those of `amad_over_cells`."""

    over_cells = staticmethod(amad_over_cells)
