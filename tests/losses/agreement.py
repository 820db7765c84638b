"""Agreement of a loss of several tensors with its oracle: values, gradients, precision, empty batches.

`function(*tensors, **masks, **options)` is a loss of the package, `oracle(*tensors, valid_BQK, **options)`
its loops. Tensors are float64 and hold garbage wherever nothing is valid.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.testing import assert_close

from tests.losses.cases import GARBAGE, masks_for, valid_entries

Shape = tuple[int, int, int, int, int]  # B, H, G, Q, K


@dataclass
class Entries:
    """Which entries count: as the package takes it, and entry by entry."""

    masks: dict[str, Tensor]
    valid_BQK: Tensor

    @property
    def queries_BQ(self) -> Tensor:
        return self.valid_BQK.any(2)

    @property
    def keys_BK(self) -> Tensor:
        return self.valid_BQK.any(1)


def entries(shape: Shape, mask: str) -> Entries:
    batch, _, _, queries, keys = shape
    masks = masks_for(mask, batch, queries, keys)
    return Entries(masks, valid_entries(masks, batch, queries, keys))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_vectors(heads: int, size: int, tokens_BL: Tensor, source: torch.Generator) -> Tensor:
    """(B, heads, L, size), normal, garbage at invalid tokens."""
    vectors = torch.randn(
        len(tokens_BL), heads, tokens_BL.shape[1], size, generator=source, dtype=torch.float64
    )
    garbage = torch.tensor(GARBAGE, dtype=torch.float64).repeat(math.ceil(vectors.numel() / len(GARBAGE)))
    return torch.where(tokens_BL[:, None, :, None], vectors, garbage[: vectors.numel()].view_as(vectors))


def value_and_gradients(function, tensors, *args, scale=1.0, **options) -> list[Tensor]:
    """The value, and the gradients of scale * value with respect to each tensor."""
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    value = function(*leaves, *args, **options)
    (scale * value).backward()
    return [value.detach(), *(torch.zeros_like(x) if x.grad is None else x.grad for x in leaves)]


def assert_agrees(function, oracle, tensors, where: Entries, scale=1.0, **options) -> None:
    """Within 1e-9; the oracle reads valid entries only, so its gradients are 0 wherever nothing is valid."""
    got = value_and_gradients(function, tensors, scale=scale, **where.masks, **options)
    expected = value_and_gradients(oracle, tensors, where.valid_BQK, scale=scale, **options)
    assert_close(got, expected, rtol=1e-9, atol=1e-11)
    if where.valid_BQK.sum(-1).max() > 1:  # else every row is one and the same distribution
        assert expected[0] > 1e-3


def assert_gradcheck(function, tensors, where: Entries, **options) -> None:
    """Finite differences cannot step from NaN: garbage becomes 0.3 here."""
    leaves = [torch.where(x.abs() < 1e6, x, 0.3).requires_grad_() for x in tensors]
    torch.autograd.gradcheck(
        lambda *x: function(*x, **where.masks, **options), leaves, eps=1e-6, atol=1e-6, rtol=1e-4
    )


def assert_lower_precision(function, oracle, tensors, where: Entries, dtype, rtol, **options) -> None:
    """Inputs are rounded first: only float32 arithmetic and the rounding of gradients differ."""
    rounded = [x.to(dtype) for x in tensors]
    got = value_and_gradients(function, rounded, **where.masks, **options)
    expected = value_and_gradients(oracle, [x.double() for x in rounded], where.valid_BQK, **options)
    assert got[0].dtype == torch.float32
    assert_close(got[0].double(), expected[0], rtol=1e-5, atol=1e-6)
    for gradient, reference in zip(got[1:], expected[1:], strict=True):
        assert gradient.dtype == dtype
        assert_close(gradient.double(), reference, rtol=rtol, atol=rtol / 10)


def assert_autocast_changes_nothing(function, tensors, where: Entries, **options) -> None:
    single = [x.float() for x in tensors]
    plain = value_and_gradients(function, single, **where.masks, **options)

    def under_autocast(*x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return function(*x, **where.masks, **options)

    assert_close(value_and_gradients(under_autocast, single), plain, rtol=0, atol=0)


def assert_zero_without_a_valid_entry(function, tensors, shape: Shape, **options) -> None:
    batch, _, _, queries, keys = shape
    masks = {
        "query_mask_BQ": torch.zeros(batch, queries, dtype=torch.bool),
        "key_mask_BK": torch.zeros(batch, keys, dtype=torch.bool),
    }
    for result in value_and_gradients(function, tensors, **masks, **options):
        assert torch.equal(result, torch.zeros_like(result))
