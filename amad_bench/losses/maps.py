"""What the map losses share: which cells count, maps in full precision, distances per head, reductions.

Axes: B batch, H teacher heads, G student heads, Q queries, K keys, N = Q*K. Masks are bool, True = valid.
A row counts when it has a valid cell; a sample without a valid cell leaves the mean over the batch.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from amad_bench.runtime.errors import did_you_mean

EPSILON = 1e-12  # the floor (docs/methods.md#amad-4), of norms and of the logarithm of a student's map


class Maps(NamedTuple):
    """A teacher's and a student's maps in float32 or float64, exactly 0 outside the valid cells."""

    teacher_BHQK: Tensor
    student_BGQK: Tensor
    rows_B: Tensor  # how many query rows have a valid cell


def check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    """Raises ValueError, with the nearest choice, for a value that is none of them."""
    if value not in choices:
        known = ", ".join(choices)
        raise ValueError(f"unknown {option} {value!r}; available: {known}.{did_you_mean(value, choices)}")


def check_shapes(teacher_BHQK: Tensor, student_BGQK: Tensor) -> None:
    """Raises ValueError where two maps cannot be compared: only the numbers of heads may differ."""
    teacher, student = tuple(teacher_BHQK.shape), tuple(student_BGQK.shape)
    if len(teacher) != 4 or len(student) != 4 or teacher[:1] + teacher[2:] != student[:1] + student[2:]:
        raise ValueError(
            f"teacher maps {teacher} and student maps {student} must be (batch, heads, queries, keys), "
            "equal in all but heads"
        )


def check_mask(name: str, mask: Tensor, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless the mask is bool and has this shape."""
    if mask.dtype != torch.bool:
        raise ValueError(f"{name} must be bool (True = valid), not {mask.dtype}; pass mask.bool()")
    if tuple(mask.shape) != shape:
        raise ValueError(f"{name} has the shape {tuple(mask.shape)}, expected {shape}")


def valid_cells(
    teacher_BHQK: Tensor,
    student_BGQK: Tensor,
    query_mask_BQ: Tensor | None,
    key_mask_BK: Tensor | None,
    cell_mask_QK: Tensor | None,
) -> Tensor | None:
    """The cells that all given masks hold for valid: bool, broadcasts to (B, 1, Q, K); None = all of them.

    Raises ValueError for maps that cannot be compared and for masks of another type or shape.
    """
    check_shapes(teacher_BHQK, student_BGQK)
    batch, _, queries, keys = teacher_BHQK.shape
    mask = None
    if query_mask_BQ is not None:
        check_mask("query_mask_BQ", query_mask_BQ, (batch, queries))
        mask = query_mask_BQ[:, None, :, None]
    if key_mask_BK is not None:
        check_mask("key_mask_BK", key_mask_BK, (batch, keys))
        key_mask = key_mask_BK[:, None, None, :]
        mask = key_mask if mask is None else mask & key_mask
    if cell_mask_QK is not None:
        check_mask("cell_mask_QK", cell_mask_QK, (queries, keys))
        cell_mask = cell_mask_QK[None, None]
        mask = cell_mask if mask is None else mask & cell_mask
    return mask


def full_precision_type(first: Tensor, second: Tensor) -> torch.dtype:
    """float64 where one of them is, else float32."""
    return torch.float64 if torch.float64 in (first.dtype, second.dtype) else torch.float32


def full_precision(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float64 where one of them is, else both in float32."""
    dtype = full_precision_type(first, second)
    return first.to(dtype), second.to(dtype)


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Autocast would run matrix products in half precision, whatever the precision of their inputs."""
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def valid_rows(mask_B1QK: Tensor | None, maps_BHQK: Tensor) -> Tensor:
    """rows_BQ, bool: query rows with a valid cell."""
    batch, _, queries, keys = maps_BHQK.shape
    if mask_B1QK is None:
        return torch.ones(batch, queries, dtype=torch.bool, device=maps_BHQK.device)
    return mask_B1QK.expand(batch, 1, queries, keys)[:, 0].any(-1)


def prepare(teacher_BHQK: Tensor, student_BGQK: Tensor, mask_B1QK: Tensor | None) -> Maps:
    """Full precision, and 0 in place of whatever masked cells hold (inf and NaN included; no gradient)."""
    teacher_BHQK, student_BGQK = full_precision(teacher_BHQK, student_BGQK)
    if mask_B1QK is not None:
        # where, not a product with the mask: 0 * inf is NaN, and where sends a gradient of exactly 0 there.
        teacher_BHQK = torch.where(mask_B1QK, teacher_BHQK, 0.0)
        student_BGQK = torch.where(mask_B1QK, student_BGQK, 0.0)
    return Maps(teacher_BHQK, student_BGQK, valid_rows(mask_B1QK, teacher_BHQK).sum(1).to(teacher_BHQK.dtype))


def kl_distance(
    teacher_BHQK: Tensor, student_BHQK: Tensor, rows_B: Tensor, row_reduction: str = "mean"
) -> Tensor:
    """sum_k t log(t / s) per head (B, H), mean or sum over valid rows; in nats. Expects `prepare`d maps.

    0 log 0 = 0, log s means log(max(s, 1e-12)): finite always. Where t = 0 the gradient with respect to t,
    which is -inf, is replaced by that at the smallest normal number.
    """
    smallest = torch.finfo(teacher_BHQK.dtype).tiny
    # sub_ saves a map's worth of memory traffic; the gradient of log needs its input, not its output.
    log_ratio = teacher_BHQK.clamp_min(smallest).log().sub_(student_BHQK.clamp_min(EPSILON).log())
    distance_BH = (teacher_BHQK * log_ratio).sum((2, 3))
    return distance_BH / rows_B.clamp_min(1)[:, None] if row_reduction == "mean" else distance_BH


def norms(maps_BHN: Tensor, order: int = 2) -> Tensor:
    """Norms of flattened maps (B, H), at least EPSILON; the gradient at a map of zeros is 0."""
    return torch.linalg.vector_norm(maps_BHN, ord=order, dim=-1).clamp_min(EPSILON)


def mse_distance(teacher_BHQK: Tensor, student_BHQK: Tensor) -> Tensor:
    """Squared L2 distance of the L2-normalised flattened maps, per head (B, H), in [0, 2]."""
    teacher_BHN, student_BHN = teacher_BHQK.flatten(2), student_BHQK.flatten(2)
    unit_teacher = teacher_BHN / norms(teacher_BHN)[:, :, None]
    unit_student = student_BHN / norms(student_BHN)[:, :, None]
    return (unit_teacher - unit_student).square().sum(-1)


def reduce_heads_and_batch(distance_BH: Tensor, rows_B: Tensor, head_reduction: str) -> Tensor:
    """Sum or mean over heads, then the mean over samples that have a valid cell; 0 when none has.

    Raises ValueError for another reduction.
    """
    check_choice("head_reduction", head_reduction, ("sum", "mean"))
    distance_B = distance_BH.mean(1) if head_reduction == "mean" else distance_BH.sum(1)
    return distance_B.sum() / (rows_B > 0).sum().clamp_min(1)  # a sample without a valid cell adds 0
