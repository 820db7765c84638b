"""A scalar whose gradients are known already."""

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor
from torch.autograd.function import Function, once_differentiable


def with_gradients(value: Tensor, inputs: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> Tensor:
    """The value, a scalar, as a function of the inputs that has these gradients; None: it does not depend.

    A backward pass only multiplies them by what comes from above, and then makes them of the inputs' types;
    they may be more precise. To autograd they are constants: they have no derivatives of their own.
    """
    return cast(Tensor, _WithGradients.apply(value, len(inputs), *inputs, *gradients))  # pyright: ignore[reportUnknownMemberType]


class _WithGradients(Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, inputs: int, *tensors: Tensor | None) -> Tensor:
        ctx.save_for_backward(*tensors[inputs:])
        ctx.types = [tensor.dtype for tensor in tensors[:inputs] if tensor is not None]
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides the names)
        ctx: Any, factor: Tensor
    ) -> tuple[Tensor | None, ...]:
        found = ctx.saved_tensors
        scaled = [
            None if gradient is None else (gradient * factor).to(dtype)
            for gradient, dtype in zip(found, ctx.types, strict=True)
        ]
        return None, None, *scaled, *([None] * len(found))
