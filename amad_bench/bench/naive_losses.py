"""Losses as printed, in plain PyTorch: what `amad_bench.losses` is measured against. Not used for training.

AMAD: Zhao et al., AAAI 2024, doi 10.1609/aaai.v38i7.28583, eq. 2-9 and 12; the others: docs/methods.md.
float32 autograd, every intermediate map is stored. Masks and floors as in docs/methods.md#amad. Axes as in
amad_bench/losses/maps.py.
"""

import torch
from torch import Tensor

FLOOR = 1e-12


def naive_amad(
    teacher_BHQK: Tensor, student_BGQK: Tensor, mask_B1QK: Tensor | None = None, *, variant: str = "kl"
) -> Tensor:
    """A scalar, with the options' published values. variant: kl, mse or token; mask: bool, True = valid."""
    teacher_BHQK, student_BGQK, rows_B = _masked(teacher_BHQK, student_BGQK, mask_B1QK)
    if variant == "token":  # eq. 12: rows are samples with one query
        teacher_BQHK, student_BQGK = teacher_BHQK.transpose(1, 2), student_BGQK.transpose(1, 2)
        weights_BQHG = torch.softmax(_unit(teacher_BQHK) @ _unit(student_BQGK).mT, dim=-1)
        return _kl(teacher_BQHK, weights_BQHG @ student_BQGK, rows_B)
    teacher_BHN, student_BGN = teacher_BHQK.flatten(2), student_BGQK.flatten(2)
    weights_BHG = torch.softmax(_unit(teacher_BHN) @ _unit(student_BGN).mT, dim=-1)  # eq. 2
    return _mixture_distance(teacher_BHN, student_BGN, weights_BHG, rows_B, variant)


def naive_student_mean(
    teacher_BHQK: Tensor, student_BGQK: Tensor, mask_B1QK: Tensor | None = None, *, distance: str = "kl"
) -> Tensor:
    """A scalar: AMAD with all weights 1/G."""
    teacher_BHQK, student_BGQK, rows_B = _masked(teacher_BHQK, student_BGQK, mask_B1QK)
    teacher_BHN, student_BGN = teacher_BHQK.flatten(2), student_BGQK.flatten(2)
    shape_BHG = *teacher_BHN.shape[:2], student_BGN.shape[1]
    weights_BHG = student_BGN.new_full(shape_BHG, 1 / student_BGN.shape[1])
    return _mixture_distance(teacher_BHN, student_BGN, weights_BHG, rows_B, distance)


def naive_one_to_one(teacher_BHQK: Tensor, student_BGQK: Tensor, mask_B1QK: Tensor | None = None) -> Tensor:
    """A scalar: KL of head h to head h; heads that only one side has are left out."""
    teacher_BHQK, student_BGQK, rows_B = _masked(teacher_BHQK, student_BGQK, mask_B1QK)
    kept = min(teacher_BHQK.shape[1], student_BGQK.shape[1])
    return _kl(teacher_BHQK[:, :kept], student_BGQK[:, :kept], rows_B)


def naive_head_mean(teacher_BHQK: Tensor, student_BGQK: Tensor, mask_B1QK: Tensor | None = None) -> Tensor:
    """A scalar: KL of the heads' means."""
    teacher_BHQK, student_BGQK, rows_B = _masked(teacher_BHQK, student_BGQK, mask_B1QK)
    return _kl(teacher_BHQK.mean(1), student_BGQK.mean(1), rows_B)


def _masked(
    teacher_BHQK: Tensor, student_BGQK: Tensor, mask_B1QK: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Teacher and student in float32, 0 in masked entries; and the number of rows with a valid entry."""
    teacher_BHQK, student_BGQK = teacher_BHQK.float(), student_BGQK.float()
    batch, _, queries, keys = teacher_BHQK.shape
    if mask_B1QK is None:
        return teacher_BHQK, student_BGQK, teacher_BHQK.new_full((batch,), queries)
    rows_B = mask_B1QK.expand(batch, 1, queries, keys).any(-1).sum((1, 2))
    return torch.where(mask_B1QK, teacher_BHQK, 0.0), torch.where(mask_B1QK, student_BGQK, 0.0), rows_B


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(FLOOR)


def _mixture_distance(
    teacher_BHN: Tensor, student_BGN: Tensor, weights_BHG: Tensor, rows_B: Tensor, distance: str
) -> Tensor:
    if distance == "mse":  # eq. 4-6
        distance_B = (_unit(teacher_BHN) - weights_BHG @ _unit(student_BGN)).square().sum((1, 2))
        return distance_B.sum() / (rows_B > 0).sum().clamp_min(1)
    return _kl(teacher_BHN, weights_BHG @ student_BGN, rows_B)  # eq. 9


def _kl(teacher: Tensor, mixture: Tensor, rows_B: Tensor) -> Tensor:
    """Sum over all but the batch, then the mean over rows and over samples with a valid entry."""
    tiny = torch.finfo(teacher.dtype).tiny
    entries = teacher * (teacher.clamp_min(tiny).log() - mixture.clamp_min(FLOOR).log())
    return (entries.flatten(1).sum(1) / rows_B.clamp_min(1)).sum() / (rows_B > 0).sum().clamp_min(1)
