"""Weights and distances of losses that compare each teacher head with a mixture of student heads.

Axes as in maps.py and chunked.py: `weights_BRHG` sum to 1 over the student heads G, for whole maps (R = 1) or
for each query row (R = Q).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from amad_bench.losses.aligned import Aligned, aligned
from amad_bench.losses.chunked import HeadProducts, head_products, mixture_kl, one_chunk
from amad_bench.losses.maps import DISTANCES, EPSILON, check_choice, full_precision_type, valid_rows

SIMILARITIES = ("cosine", "l1")


class MaskedMaps(NamedTuple):
    """Maps as they came: of any floating type, with anything in masked entries.

    mask_B1QK: broadcasts to (B, 1, Q, K); None = every entry is valid. zeroed: whether masked entries hold 0.
    """

    teacher_BHQK: Tensor
    student_BGQK: Tensor
    mask_B1QK: Tensor | None
    zeroed: bool = False

    @property
    def operands(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Maps, and the mask that is still to be read with them."""
        return self.teacher_BHQK, self.student_BGQK, None if self.zeroed else self.mask_B1QK

    @property
    def precision(self) -> torch.dtype:
        return full_precision_type(self.teacher_BHQK, self.student_BGQK)


def masked_maps(teacher_BHQK: Tensor, student_BGQK: Tensor, mask_B1QK: Tensor | None) -> MaskedMaps:
    """Maps and their mask, which small ones are read with once instead of in every pass over them."""
    if mask_B1QK is None or not one_chunk(teacher_BHQK, student_BGQK):
        return MaskedMaps(teacher_BHQK, student_BGQK, mask_B1QK)
    # where, not a product with the mask: 0 * inf is NaN, and where sends a gradient of exactly 0 there
    teacher_BHQK = torch.where(mask_B1QK, teacher_BHQK, 0.0)
    student_BGQK = torch.where(mask_B1QK, student_BGQK, 0.0)
    return MaskedMaps(teacher_BHQK, student_BGQK, mask_B1QK, zeroed=True)


class Cosines(NamedTuple):
    """Inner products of unit vectors, in float64."""

    cross_BRHG: Tensor
    student_BRGG: Tensor
    teacher_squares_BRH: Tensor  # of the teacher's unit vectors: 1, or less below the floor of norms


def cosines(products: HeadProducts) -> Cosines:
    teacher_BRH = _norms(products.teacher_BRH)
    student_BRG = _norms(products.student_BRGG.diagonal(dim1=-2, dim2=-1))
    return Cosines(
        products.cross_BRHG / _outer(teacher_BRH, student_BRG),
        products.student_BRGG / _outer(student_BRG, student_BRG),
        products.teacher_BRH / teacher_BRH.square(),
    )


def _norms(squares: Tensor) -> Tensor:
    """Square roots, at least EPSILON; the gradient at 0 is 0, where that of a square root is infinite."""
    return squares.clamp_min(EPSILON**2).sqrt()


def _outer(left_BRH: Tensor, right_BRG: Tensor) -> Tensor:
    return left_BRH[..., :, None] * right_BRG[..., None, :]


def softmax_of_similarity(
    maps: MaskedMaps, similarity: str, temperature: float, by_row: bool = False
) -> tuple[Tensor, HeadProducts]:
    """weights_BRHG, the softmax over student heads of the similarity of vectors, in float64; and the products
    that it is made of.

    Raises ValueError for an unknown similarity and for a temperature that is not above 0.
    """
    check_choice("similarity", similarity, SIMILARITIES)
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature}")
    products = head_products(*maps.operands, by_row=by_row, l1=similarity == "l1")
    if products.teacher_l1_BRH is not None and products.student_l1_BRG is not None:
        norms = products.teacher_l1_BRH.clamp_min(EPSILON), products.student_l1_BRG.clamp_min(EPSILON)
        similarity_BRHG = products.cross_BRHG / _outer(*norms)
    else:
        similarity_BRHG = cosines(products).cross_BRHG
    return torch.softmax(similarity_BRHG / temperature, dim=-1), products


def mixture_loss(
    maps: MaskedMaps,
    weights_BRHG: Tensor,
    distance: str,
    head_reduction: str,
    row_reduction: str = "mean",
    products: HeadProducts | None = None,
) -> Aligned:
    """Distance of each teacher head to its mixture of student heads, for any weights that sum to 1 over G.

    `mse` takes weights of whole maps; it needs the products of whole maps and takes them if none are given.
    Raises ValueError for unknown names of the distance and the reductions.
    """
    check_choice("distance", distance, DISTANCES)
    check_choice("row_reduction", row_reduction, ("mean", "sum"))
    rows_BQ = valid_rows(maps.mask_B1QK, maps.teacher_BHQK.shape, maps.teacher_BHQK.device)
    rows_B = rows_BQ.sum(1)
    if distance == "mse":
        distance_BH = gram_mse(products or head_products(*maps.operands), weights_BRHG)
    else:
        teacher_BHQK, student_BGQK, mask_B1QK = maps.operands
        if products is not None:
            student_BGQK = products.student_BGQK
        distance_BH = mixture_kl(teacher_BHQK, student_BGQK, mask_B1QK, weights_BRHG)
        if row_reduction == "mean":
            distance_BH = distance_BH / rows_B.clamp_min(1)[:, None]
    if weights_BRHG.shape[1] == 1:
        alignment_BHG = weights_BRHG[:, 0]
    else:  # the mean over valid rows
        counted_BQHG = weights_BRHG * rows_BQ[:, :, None, None]
        alignment_BHG = counted_BQHG.sum(1) / rows_B.clamp_min(1)[:, None, None]
    return aligned(distance_BH.to(maps.precision), rows_B, alignment_BHG.to(maps.precision), head_reduction)


def gram_mse(products: HeadProducts, weights_BRHG: Tensor) -> Tensor:
    """Distances | t^_h - sum_g a_hg s^_g |^2 per head (B, H) of unit maps ^, in their Gram form:

    |t^_h|^2 - 2 sum_g a_hg <t^_h, s^_g> + sum_gm a_hg a_hm <s^_g, s^_m>
    """
    unit = cosines(products)
    cross_BRH = (weights_BRHG * unit.cross_BRHG).sum(-1)
    mixture_BRH = (weights_BRHG @ unit.student_BRGG * weights_BRHG).sum(-1)
    return (unit.teacher_squares_BRH - 2 * cross_BRH + mixture_BRH).sum(1)
