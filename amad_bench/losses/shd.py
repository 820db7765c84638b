"""Squeezing-heads distillation: teacher heads are merged into as many maps as the student has, then compared.

Source: Bing et al., "Optimizing Knowledge Distillation in Transformers: Enabling Multi-Head Attention without
Alignment Barriers", 2025. No released code was run, alpha is reconstructed (docs/methods.md#shd-2).

Teacher heads in order are split into G consecutive groups, sizes differing by at most 1, larger ones first.
Within a group heads are merged left to right, p being what was merged so far and q the next head:

    A = alpha A_p + (1 - alpha) A_q,    X = X_p + X_q,    X_h = V_h W_O,h  (values in model space)
    alpha = clip(<D X_p, D X> / |D X|^2, 0, 1),  D = A_p - A_q,    0.5 where D X = 0

the alpha with which A X is nearest to A_p X_p + A_q X_q, per sample and over valid rows. Then
L = sum over g of KL(A_g || s_g), mean over valid rows. Domain: attention probabilities; H >= G. With
grouped queries a head's values are those of its group.
"""

from typing import Any

import torch
from torch import Tensor

from amad_bench.losses.base import LayerPair, MapLoss
from amad_bench.losses.maps import (
    full_precision,
    kl_distance,
    prepare,
    reduce_heads_and_batch,
    valid_entries,
    without_autocast,
)
from amad_bench.losses.relations import valid_tokens


def shd_loss(
    teacher_BHQK: Tensor,
    student_BGQK: Tensor,
    teacher_value_BHKD: Tensor,
    teacher_output_weight_HDd: Tensor,
    *,
    query_mask_BQ: Tensor | None = None,
    key_mask_BK: Tensor | None = None,
    cell_mask_QK: Tensor | None = None,
    head_reduction: str = "sum",
) -> Tensor:
    """A scalar in the maps' precision; masks and `head_reduction` (over merged heads) as in `amad_loss`.

    Raises ValueError for fewer teacher than student heads and for shapes that do not fit.
    """
    mask_B1QK = valid_entries(teacher_BHQK, student_BGQK, query_mask_BQ, key_mask_BK, cell_mask_QK)
    maps = prepare(teacher_BHQK, student_BGQK, mask_B1QK)
    _, keys_BK = valid_tokens(mask_B1QK, teacher_BHQK.shape)
    values_BHKd = _in_model_space(teacher_value_BHKD, teacher_output_weight_HDd, keys_BK)
    values_BHKd = values_BHKd.to(maps.teacher_BHQK.dtype)
    merged_BGQK = merge_heads(maps.teacher_BHQK, values_BHKd, student_BGQK.shape[1])
    distance_BG = kl_distance(merged_BGQK, maps.student_BGQK, maps.rows_B)
    return reduce_heads_and_batch(distance_BG, maps.rows_B, head_reduction)


def merge_heads(teacher_BHQK: Tensor, values_BHKd: Tensor, groups: int) -> Tensor:
    """(B, G, Q, K): the teacher's maps merged into `groups`; maps 0 in masked entries, values in model space.

    Raises ValueError for more groups than heads.
    """
    heads = teacher_BHQK.shape[1]
    if heads < groups:
        raise ValueError(
            f"shd merges teacher heads into student heads, but the teacher has {heads} heads and the student "
            f"{groups}: it needs at least as many teacher heads"
        )
    merged: list[Tensor] = []
    with without_autocast(teacher_BHQK.device):
        groups_of = (x.tensor_split(groups, dim=1) for x in (teacher_BHQK, values_BHKd))
        for maps_BhQK, values_BhKd in zip(*groups_of, strict=True):
            map_BQK, values_BKd = maps_BhQK[:, 0], values_BhKd[:, 0]
            for head in range(1, maps_BhQK.shape[1]):
                next_BQK, both_BKd = maps_BhQK[:, head], values_BKd + values_BhKd[:, head]
                alpha_B11 = _alpha(map_BQK - next_BQK, values_BKd, both_BKd)[:, None, None]
                map_BQK = alpha_B11 * map_BQK + (1 - alpha_B11) * next_BQK
                values_BKd = both_BKd
            merged.append(map_BQK)
    return torch.stack(merged, dim=1)


def _alpha(difference_BQK: Tensor, values_BKd: Tensor, both_BKd: Tensor) -> Tensor:
    """clip(<D X_p, D X> / |D X|^2, 0, 1) per sample (B,), 0.5 where D X = 0."""
    wanted_BQd, possible_BQd = difference_BQK @ values_BKd, difference_BQK @ both_BKd
    squares_B = possible_BQd.square().sum((1, 2))
    solvable_B = squares_B > 0
    ratio_B = (wanted_BQd * possible_BQd).sum((1, 2)) / torch.where(solvable_B, squares_B, 1.0)
    return torch.where(solvable_B, ratio_B.clamp(0, 1), 0.5)


def _in_model_space(value_BHKD: Tensor, output_weight_HDd: Tensor, keys_BK: Tensor | None) -> Tensor:
    value_BHKD, output_weight_HDd = full_precision(value_BHKD, output_weight_HDd)
    if keys_BK is not None:
        value_BHKD = torch.where(keys_BK[:, None, :, None], value_BHKD, 0.0)
    with without_autocast(value_BHKD.device):
        return value_BHKD @ output_weight_HDd


class SqueezingHeads(MapLoss):
    """`shd_loss` on traces."""

    function = staticmethod(shd_loss)

    def arguments(self, pair: LayerPair) -> dict[str, Any]:
        weight_HDd = pair.teacher.output_weight_HDd
        if weight_HDd is None:
            raise ValueError("shd needs the teacher's output projection, which its trace does not hold")
        return {"teacher_value_BHKD": pair.teacher.value_BHKD(), "teacher_output_weight_HDd": weight_HDd}
