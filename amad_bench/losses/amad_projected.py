"""AMAD's variant `projected` (Zhao et al. 2024, eq. 11): student maps pass a learned layer, then align.

    S~ = ReLU(S W^T + b), W in R^{n x n}, n = Q * K      L = KL(T || softmax(T S~^T) S~)

Each row of the mix is divided by max(its sum, 1e-12) before the KL, since a projection is no distribution and
ReLU can empty a row. W starts near the identity, b at 1/K. Choices of ours: docs/methods.md#amad-9.
Domain: maps of one fixed size with at most 4,096 entries; W has the square of that many parameters.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from amad_bench.losses.aligned import Aligned, aligned
from amad_bench.losses.maps import (
    EPSILON,
    check_choice,
    kl_distance,
    prepare,
    valid_rows,
    without_autocast,
)
from amad_bench.losses.mixture import MaskedMaps
from amad_bench.plan.catalogue.supports import LARGEST_PROJECTED_MAP

NOISE = 0.01  # the spread of W S around S, in units of |S|


def check_projection(variant: str, projection: tuple[Tensor, Tensor] | None, shape: Sequence[int]) -> None:
    """Raises ValueError for a projection that the variant lacks or does not use, or of another size."""
    if variant != "projected":
        if projection is not None:
            raise ValueError(f"projection is not used by variant {variant!r}; leave it out")
        return
    entries = _count(*shape[2:])
    if projection is None:
        raise ValueError("variant 'projected' needs projection=(W_nn, b_n), n = queries * keys")
    sizes = tuple(tuple(part.shape) for part in projection)
    if sizes != ((entries, entries), (entries,)):
        raise ValueError(
            f"variant 'projected' needs maps of one fixed size: its projection has the shapes {sizes[0]} and "
            f"{sizes[1]}, but maps of {shape[2]} x {shape[3]} need ({entries}, {entries}) and ({entries},)"
        )


def _count(queries: int, keys: int) -> int:
    """queries * keys. Raises ValueError where that is too many for a matrix over pairs of entries."""
    entries = queries * keys
    limit = LARGEST_PROJECTED_MAP
    if entries > limit:
        raise ValueError(
            f"variant 'projected' would need a matrix of {entries:,} x {entries:,} = {entries**2:,} numbers "
            f"for maps of {queries} x {keys}, more than {limit:,} x {limit:,}; use kl, mse or token"
        )
    return entries


def initial_projection(queries: int, keys: int) -> tuple[Tensor, Tensor]:
    """(W_nn, b_n) to start from, drawn from torch's global CPU generator: near the identity, and 1 / keys.

    Raises ValueError, with the size that it would need, for maps of more than 4,096 entries.
    """
    entries = _count(queries, keys)
    weight_nn = torch.eye(entries) + torch.randn(entries, entries) * (NOISE / math.sqrt(entries))
    return weight_nn, torch.full((entries,), 1 / keys)


def projected_maps(maps: MaskedMaps, projection: tuple[Tensor, Tensor]) -> MaskedMaps:
    """The maps with S~ in place of S; full precision, and 0 in masked entries."""
    teacher_BHQK, student_BGQK, _ = prepare(maps.teacher_BHQK, maps.student_BGQK, maps.mask_B1QK)
    weight_nn, bias_n = (part.to(student_BGQK) for part in projection)
    with without_autocast(bias_n.device):
        projected_BGn = torch.relu(student_BGQK.flatten(2) @ weight_nn.mT + bias_n)
    projected_BGQK = projected_BGn.view_as(student_BGQK)
    if maps.mask_B1QK is not None:
        projected_BGQK = projected_BGQK.masked_fill(~maps.mask_B1QK, 0.0)
    return MaskedMaps(teacher_BHQK, projected_BGQK, maps.mask_B1QK, zeroed=True)


def projected_loss(maps: MaskedMaps, weights_BHG: Tensor, head_reduction: str, row_reduction: str) -> Aligned:
    """KL of each teacher head to its mixture of `projected_maps`, whose rows are made distributions."""
    check_choice("row_reduction", row_reduction, ("mean", "sum"))
    weights_BHG = weights_BHG.to(maps.precision)
    with without_autocast(weights_BHG.device):
        mixture_BHQK = (weights_BHG @ maps.student_BGQK.flatten(2)).view_as(maps.teacher_BHQK)
    mixture_BHQK = mixture_BHQK / mixture_BHQK.sum(-1, keepdim=True).clamp_min(EPSILON)
    rows_B = valid_rows(maps.mask_B1QK, maps.teacher_BHQK.shape, maps.teacher_BHQK.device).sum(1)
    distance_BH = kl_distance(maps.teacher_BHQK, mixture_BHQK, rows_B, row_reduction)
    return aligned(distance_BH, rows_B, weights_BHG, head_reduction)
