# pyright: basic, reportCallIssue=false, reportArgumentType=false
"""Calls of the Triton kernels of triton_kernels.py: grids, strides, sizes of tiles."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from amad_bench.losses.kernels import triton_kernels as kernels

BLOCK = 64  # keys at a time; of 128 the gradient's tiles overflow the registers
FUSED = {"enable_fp_fusion": True}  # multiply and add at once, whatever Triton's default


class RowProducts(NamedTuple):
    """Products and sums of each query row, in float32."""

    cross_BQHG: Tensor
    teacher_squares_BQH: Tensor
    teacher_sums_BQH: Tensor
    student_squares_BQG: Tensor  # MEAN: products with the mean of the student's heads
    student_sums_BQG: Tensor


class MapPair(NamedTuple):
    """Maps of both sides and the entries that count (broadcasts to (B, 1, Q, K))."""

    teacher_BHQK: Tensor
    student_BGQK: Tensor
    mask_B1QK: Tensor | None

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """H, G, Q, K."""
        _, students, queries, keys = self.student_BGQK.shape
        return self.teacher_BHQK.shape[1], students, queries, keys

    @property
    def rows(self) -> int:
        return self.student_BGQK.shape[0] * self.student_BGQK.shape[2]

    def strides(self) -> tuple[int, ...]:
        return *self.teacher_BHQK.stride()[:2], *_mask_strides(self.mask_B1QK, self.student_BGQK)

    def constants(self) -> dict[str, Any]:
        heads, students, _, keys = self.sizes
        return {
            "HAS_ENTRIES": self.mask_B1QK is not None,
            "HEADS": _padded(heads),
            "STUDENTS": _padded(students),
            "BLOCK": _block(keys),
            **FUSED,
        }


def softmax_(scores_BHQK: Tensor, bias_BHQK: Tensor | None, mask_B1QK: Tensor | None, scale: float) -> None:
    """Contiguous float32 scores become maps in their place; bias and mask broadcast to them."""
    batch, heads, queries, keys = scores_BHQK.shape
    bias = scores_BHQK if bias_BHQK is None else bias_BHQK
    kernels.softmax_rows[(batch * queries,)](
        scores_BHQK,
        bias,
        _bytes(mask_B1QK, scores_BHQK),
        heads,
        queries,
        keys,
        scale,
        *bias.expand(scores_BHQK.shape).stride(),
        *_mask_strides(mask_B1QK, scores_BHQK),
        HAS_BIAS=bias_BHQK is not None,
        HAS_MASK=mask_B1QK is not None,
        HEADS=_padded(heads),
        BLOCK=_block(keys),
        **FUSED,
    )


def row_products(maps: MapPair, of_mean: bool) -> RowProducts:
    """of_mean: the student's squares are products with the mean of its heads."""
    heads, students, queries, _ = maps.sizes
    shape = maps.student_BGQK.shape[0], queries
    found = RowProducts(
        *(
            maps.student_BGQK.new_empty(*shape, *last)
            for last in ((heads, students), (heads,), (heads,), (students,), (students,))
        )
    )
    kernels.row_products[(maps.rows,)](
        maps.teacher_BHQK,
        maps.student_BGQK,
        _bytes(maps.mask_B1QK, maps.student_BGQK),
        *found,
        *maps.sizes,
        *maps.strides(),
        MEAN=of_mean,
        **maps.constants(),
    )
    return found


def row_divergence(
    maps: MapPair, weights_BRHG: Tensor, inverse_norm_BH: Tensor, mse: bool
) -> tuple[Tensor, Tensor]:
    """Distances D (B, Q, H) and products R (B, Q, H, G) of what remains with the student's maps."""
    heads, students, queries, _ = maps.sizes
    batch = maps.student_BGQK.shape[0]
    distance_BQH = maps.student_BGQK.new_empty(batch, queries, heads)
    products_BQHG = maps.student_BGQK.new_empty(batch, queries, heads, students)
    kernels.row_divergence[(maps.rows,)](
        maps.teacher_BHQK,
        maps.student_BGQK,
        _bytes(maps.mask_B1QK, maps.student_BGQK),
        weights_BRHG,
        inverse_norm_BH,
        distance_BQH,
        products_BQHG,
        *maps.sizes,
        *maps.strides(),
        *_weight_strides(weights_BRHG),
        MSE=mse,
        **maps.constants(),
    )
    return distance_BQH, products_BQHG


class Coefficients(NamedTuple):
    """Coefficients of the student's gradient, by triton_kernels.py's letters; contiguous float32."""

    W_BRHG: Tensor
    U_BH: Tensor
    A_BRHG: Tensor
    B_BRHG: Tensor
    E_BRG: Tensor
    F_BRG: Tensor
    delta_BQG: Tensor


def gradient_of_scores(
    maps: MapPair, of: Coefficients, mse: bool, of_mean: bool, dtype: torch.dtype
) -> Tensor:
    """dscores (B, G, Q, K) in float32, in place of the student's maps, or in another dtype beside them."""
    student = maps.student_BGQK
    gradient = student if dtype == student.dtype else torch.empty_like(student, dtype=dtype)
    kernels.row_gradient[(maps.rows,)](
        maps.teacher_BHQK,
        student,
        gradient,
        _bytes(maps.mask_B1QK, student),
        *of,
        *maps.sizes,
        *maps.strides(),
        *_weight_strides(of.W_BRHG),
        MSE=mse,
        MEAN=of_mean,
        **maps.constants(),
    )
    return gradient


def _padded(heads: int) -> int:
    return max(16, _power_of_two(heads))


def _block(keys: int) -> int:
    return min(BLOCK, max(16, _power_of_two(keys)))


def _power_of_two(number: int) -> int:
    """The least that is not below."""
    return 1 << (number - 1).bit_length()


def _bytes(mask: Tensor | None, instead: Tensor) -> Tensor:
    return instead if mask is None else mask.view(torch.uint8)


def _mask_strides(mask_B1QK: Tensor | None, maps: Tensor) -> tuple[int, int, int]:
    if mask_B1QK is None:
        return 0, 0, 0
    b, _, q, k = mask_B1QK.expand(maps.shape[0], 1, *maps.shape[2:]).stride()
    return b, q, k


def _weight_strides(weights_BRHG: Tensor) -> tuple[int, int]:
    b, q = weights_BRHG.stride()[:2]
    return b, q if weights_BRHG.shape[1] > 1 else 0
