"""Parts that map losses share: which entries count, maps in full precision, distances per head, reductions.

Axes: B batch, H teacher heads, G student heads, Q queries, K keys, N = Q*K. Masks are bool, True = valid.
A row counts when it has a valid entry; a sample without a valid entry leaves the mean over the batch.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from typing import NamedTuple, cast

import torch
from torch import Tensor

from amad_bench.runtime.errors import did_you_mean

EPSILON = 1e-12  # the floor (docs/methods.md#amad-4), of norms and of the logarithm of a student's map
DISTANCES = ("kl", "mse")  # of a teacher's map to a student's


class Maps(NamedTuple):
    """A teacher's and a student's maps in float32 or float64, exactly 0 outside the valid entries."""

    teacher_BHQK: Tensor
    student_BGQK: Tensor
    rows_B: Tensor  # how many query rows have a valid entry


def check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    """Raises ValueError, with the nearest choice, for a value that is none of them."""
    if value not in choices:
        known = ", ".join(choices)
        raise ValueError(f"unknown {option} {value!r}; available: {known}.{did_you_mean(value, choices)}")


def check_shapes(teacher: Sequence[int], student: Sequence[int]) -> None:
    """Raises ValueError for shapes of maps that cannot be compared: only the numbers of heads may differ."""
    teacher, student = tuple(teacher), tuple(student)
    if len(teacher) != 4 or len(student) != 4 or teacher[:1] + teacher[2:] != student[:1] + student[2:]:
        raise ValueError(
            f"teacher maps {teacher} and student maps {student} must be (batch, heads, queries, keys), "
            "equal in all but heads"
        )


def check_equal_heads(method: str, teacher_BHQK: Tensor, student_BHQK: Tensor, instead: str) -> None:
    """Raises ValueError for different head counts; instead: what to do then."""
    teacher_heads, student_heads = teacher_BHQK.shape[1], student_BHQK.shape[1]
    if teacher_heads != student_heads:
        raise ValueError(
            f"{method} compares head h with head h, but the teacher has {teacher_heads} heads and the "
            f"student {student_heads}; {instead}"
        )


def check_mask(name: str, mask: Tensor, shape: tuple[int, ...], broadcast: bool = False) -> None:
    """Raises ValueError unless the mask is bool and has this shape; broadcast: or 1 in place of a size."""
    sizes = tuple(mask.shape)
    if mask.dtype != torch.bool:
        raise ValueError(f"{name} must be bool (True = valid), not {mask.dtype}; pass mask.bool()")
    if sizes == shape:
        return
    if not broadcast:
        raise ValueError(f"{name} has the shape {sizes}, expected {shape}")
    if len(sizes) != len(shape) or any(size not in (1, shape[axis]) for axis, size in enumerate(sizes)):
        raise ValueError(f"{name} {sizes} does not broadcast to {shape}; one mask per head is not supported")


def valid_entries(
    teacher_BHQK: Tensor,
    student_BGQK: Tensor,
    query_mask_BQ: Tensor | None,
    key_mask_BK: Tensor | None,
    cell_mask_QK: Tensor | None,
) -> Tensor | None:
    """Entries that all given masks hold for valid: bool, broadcasts to (B, 1, Q, K); None = all of them.

    Where samples differ in more than padding, `cell_mask_QK` may have four axes, too: (B, 1, Q, K).
    Raises ValueError for maps that cannot be compared and for masks of another type or shape.
    """
    check_shapes(teacher_BHQK.shape, student_BGQK.shape)
    batch, _, queries, keys = teacher_BHQK.shape
    masks: list[Tensor] = []
    if query_mask_BQ is not None:
        check_mask("query_mask_BQ", query_mask_BQ, (batch, queries))
        masks.append(query_mask_BQ[:, None, :, None])
    if key_mask_BK is not None:
        check_mask("key_mask_BK", key_mask_BK, (batch, keys))
        masks.append(key_mask_BK[:, None, None, :])
    if cell_mask_QK is not None:
        by_sample = cell_mask_QK.dim() == 4
        shape = (batch, 1, queries, keys) if by_sample else (queries, keys)
        check_mask("cell_mask_QK", cell_mask_QK, shape, broadcast=by_sample)
        masks.append(cell_mask_QK)
    return reduce(torch.logical_and, masks) if masks else None


def full_precision_type(first: Tensor, second: Tensor) -> torch.dtype:
    """float64 where one of them is, else float32."""
    return torch.float64 if torch.float64 in (first.dtype, second.dtype) else torch.float32


def full_precision(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float64 where one of them is, else both in float32."""
    dtype = full_precision_type(first, second)
    return first.to(dtype), second.to(dtype)


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Context without autocast, which would run matrix products in half precision, whatever their inputs'."""
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def valid_rows(mask_B1QK: Tensor | None, shape_BHQK: Sequence[int], device: torch.device) -> Tensor:
    """rows_BQ, bool: query rows of maps of this shape with a valid entry."""
    batch, _, queries, keys = shape_BHQK
    if mask_B1QK is None:
        return torch.ones(batch, queries, dtype=torch.bool, device=device)
    return mask_B1QK.expand(batch, 1, queries, keys)[:, 0].any(-1)


def prepare(teacher_BHQK: Tensor, student_BGQK: Tensor, mask_B1QK: Tensor | None) -> Maps:
    """Maps in full precision, 0 in place of whatever masked entries hold (inf and NaN, too; no gradient)."""
    teacher_BHQK, student_BGQK = full_precision(teacher_BHQK, student_BGQK)
    if mask_B1QK is not None:
        # where, not a product with the mask: 0 * inf is NaN, and where sends a gradient of exactly 0 there.
        teacher_BHQK = torch.where(mask_B1QK, teacher_BHQK, 0.0)
        student_BGQK = torch.where(mask_B1QK, student_BGQK, 0.0)
    rows_BQ = valid_rows(mask_B1QK, teacher_BHQK.shape, teacher_BHQK.device)
    return Maps(teacher_BHQK, student_BGQK, rows_BQ.sum(1).to(teacher_BHQK.dtype))


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


def norms(vectors: Tensor, order: int = 2) -> Tensor:
    """Norms over the last axis."""
    return cast(Tensor, torch.linalg.vector_norm(vectors, ord=order, dim=-1))  # pyright: ignore[reportUnknownMemberType]


def entropies(shares: Tensor) -> Tensor:
    """-x log x of every number, 0 at 0."""
    return cast(Tensor, torch.special.entr(shares))  # pyright: ignore[reportUnknownMemberType]


def mse_distance(teacher_BHQK: Tensor, student_BHQK: Tensor) -> Tensor:
    """Squared L2 distance of the L2-normalised flattened maps, per head (B, H), in [0, 2].

    Norms are at least 1e-12; the gradient at a map of zeros is 0.
    """
    teacher_BHN, student_BHN = teacher_BHQK.flatten(2), student_BHQK.flatten(2)
    unit_teacher = teacher_BHN / norms(teacher_BHN).clamp_min(EPSILON)[:, :, None]
    unit_student = student_BHN / norms(student_BHN).clamp_min(EPSILON)[:, :, None]
    return (unit_teacher - unit_student).square().sum(-1)


def head_distance(distance: str, teacher_BHQK: Tensor, student_BHQK: Tensor, rows_B: Tensor) -> Tensor:
    """`kl_distance` or `mse_distance` per head (B, H). Raises ValueError for another name."""
    check_choice("distance", distance, DISTANCES)
    if distance == "mse":
        return mse_distance(teacher_BHQK, student_BHQK)
    return kl_distance(teacher_BHQK, student_BHQK, rows_B)


def reduce_heads_and_batch(distance_BH: Tensor, rows_B: Tensor, head_reduction: str) -> Tensor:
    """Sum or mean over heads, then the mean over samples that have a valid entry; 0 when none has.

    Raises ValueError for another reduction.
    """
    check_choice("head_reduction", head_reduction, ("sum", "mean"))
    distance_B = distance_BH.mean(1) if head_reduction == "mean" else distance_BH.sum(1)
    return distance_B.sum() / (rows_B > 0).sum().clamp_min(1)  # a sample without a valid entry adds 0
