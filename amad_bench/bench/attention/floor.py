"""Least time that a loss of attention can take: its bytes once through memory, its products at the best rate.

Axes: B batch, H heads, N tokens, D head size.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from amad_bench.bench.attention.cases import Method, Shape
from amad_bench.bench.measuring import interleaved_seconds

ROUNDS = 9


class Rates(NamedTuple):
    """Measured rates of the device: GiB read and written in a second, and TFLOP."""

    copy_gib_s: float
    product_tflop_s: float


def moved_bytes(method: Method, shape: Shape, item: int) -> int:
    """Queries and keys of both sides (and values, where they are compared) read once, the student's gradients
    written; item: bytes of a number."""
    tensors = 3 if method.relations else 2
    return tensors * item * shape.batch * shape.tokens * (shape.teacher_width + 2 * shape.student_width)


def operations(method: Method, shape: Shape) -> int:
    """Operations of matrix products alone: scores, gradients of student queries and keys, heads with heads.

    Relations of a tensor to itself have one score product a side, and one in the gradient.
    """
    entries = 2 * shape.batch * shape.tokens**2
    if method.relations:
        return 3 * entries * (shape.teacher_width + 2 * shape.student_width)
    pairs = method.contractions * shape.teacher_heads * shape.student_heads
    return entries * (shape.teacher_width + 3 * shape.student_width + pairs)


def floor_ms(method: Method, shape: Shape, item: int, rates: Rates) -> float:
    """The longer of both: they can overlap. Exponentials, logarithms and sums count nothing."""
    memory_s = moved_bytes(method, shape, item) / 2**30 / rates.copy_gib_s
    return 1e3 * max(memory_s, operations(method, shape) / 1e12 / rates.product_tflop_s)


def product_tflop_s(shape: Shape, dtype: torch.dtype, device: str) -> float:
    """The better rate of two ways to multiply at the teacher's shape: scores alone, which are written, and
    attention as torch computes it, which keeps them to itself."""
    generator = torch.Generator().manual_seed(0)
    size = (shape.batch, shape.teacher_heads, shape.tokens, shape.teacher_size)
    query, key = (torch.randn(size, generator=generator).to(device, dtype) for _ in range(2))
    scores = partial(torch.matmul, query, key.mT)
    attention = partial(_attention, query, key)
    for step in (scores, attention):
        step()
    seconds, _ = interleaved_seconds([scores, attention], ROUNDS, device)
    once = 2 * shape.batch * shape.tokens**2 * shape.teacher_width
    return max(once / min(seconds[0]), 2 * once / min(seconds[1])) / 1e12


def _attention(query_BHND: Tensor, key_BHND: Tensor) -> Tensor:
    return scaled_dot_product_attention(query_BHND, key_BHND, key_BHND)
