"""A comparison of two layers, some samples at a time, with its gradient taken at once.

Attention losses are means over samples and couple nothing across them. So maps live only as long as their
samples are looked at: the loss's own formula is run on a slice of both traces, differentiated by the
student's queries, keys, values and bias, and the maps are gone. What is kept are gradients of the size of
these; the backward pass multiplies them by one number (docs/engine.md). The teacher gets no gradient.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from amad_bench.losses.entries import traced_samples
from amad_bench.losses.kernels.compared import Compared
from amad_bench.losses.kernels.given_gradients import with_gradients
from amad_bench.losses.maps import without_autocast
from amad_bench.models.attention.trace import LayerTrace

Compare = Callable[[LayerTrace, LayerTrace], Compared]  # of teacher and student

DIFFERENTIATED = ("query_BHQD", "key_BJKD", "value_BJKD", "bias_BHQK", "given_probs_BHQK")
_BY_SAMPLE = (*DIFFERENTIATED, "mask_BHQK", "query_mask_BQ")


def needs_gradient(layer: LayerTrace) -> bool:
    """Whether its forward pass asks for gradients. (Its output projection is a parameter: of no matter.)"""
    return any(_wants(getattr(layer, name)) for name in DIFFERENTIATED)


def by_samples(compare: Compare, teacher: LayerTrace, student: LayerTrace, samples: int) -> Compared:
    """`compare` of both layers, so many samples at a time.

    Raises ValueError where the teacher needs a gradient.
    """
    if torch.is_grad_enabled() and needs_gradient(teacher):
        raise ValueError("kernel 'chunked' gives the teacher no gradient; detach its trace or use 'dense'")
    inputs = {name: tensor for name in DIFFERENTIATED if _wants(tensor := getattr(student, name))}
    names = [*inputs] if torch.is_grad_enabled() else []
    counted_B = traced_samples(teacher, student)
    batch, counted = len(counted_B), counted_B.sum().clamp_min(1)
    sums = _Sums([inputs[name] for name in names], batch)
    loss: Tensor | None = None
    alignment_HG: Tensor | None = None
    for start in range(0, max(1, batch), samples):
        part = slice(start, start + samples)
        leaves = {
            name: of_samples(tensor, part).detach().to(_kept_type(tensor)).requires_grad_(name in names)
            for name, tensor in inputs.items()
        }
        sliced = replace(_part(student, part), **leaves)
        with torch.set_grad_enabled(bool(names)):
            found = compare(_part(teacher, part), sliced)
            share = counted_B[part].sum().to(found.loss.dtype) / counted
            summand = found.loss * share
            if summand.requires_grad:
                sums.add(summand, [leaves[name] for name in names])
        loss = _plus(loss, summand.detach())
        if found.alignment_HG is not None:
            alignment_HG = _plus(alignment_HG, found.alignment_HG * share.to(found.alignment_HG.dtype))
    assert loss is not None
    if names:
        loss = with_gradients(loss, sums.inputs, sums.totals())
    return Compared(loss, alignment_HG)


class _Sums:
    """Gradients by whole tensors, from those by their slices, which come in order.

    What all samples share is summed in float32 at least, in its own shape.
    """

    def __init__(self, inputs: Sequence[Tensor], batch: int) -> None:
        self.inputs = inputs
        self._shared = [len(tensor) != batch for tensor in inputs]
        self._found: list[list[Tensor]] = [[] for _ in inputs]

    def add(self, summand: Tensor, leaves: Sequence[Tensor]) -> None:
        with without_autocast(summand.device):  # as in a backward pass: it would halve products' precision
            gradients = torch.autograd.grad(summand, leaves, allow_unused=True)
        for found, shared, gradient in zip(self._found, self._shared, gradients, strict=True):
            if cast("Tensor | None", gradient) is None:
                continue
            if not shared:
                found.append(gradient)
            elif found:
                found[0] += gradient
            else:
                found.append(gradient.to(torch.promote_types(gradient.dtype, torch.float32)))

    def totals(self) -> list[Tensor | None]:
        """None for what nothing was read of."""
        pairs = zip(self.inputs, self._found, strict=True)
        return [torch.cat(found).to(_kept_type(tensor)) if found else None for tensor, found in pairs]


def _kept_type(tensor: Tensor) -> torch.dtype:
    """Type of a gradient until it is scaled: in float16 small ones were 0 before a GradScaler's factor."""
    return torch.float32 if tensor.dtype == torch.float16 else tensor.dtype


def _wants(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.requires_grad


def _plus(total: Tensor | None, summand: Tensor) -> Tensor:
    return summand if total is None else total + summand


def _part(layer: LayerTrace, part: slice) -> LayerTrace:
    """The layer's trace of some samples."""
    whole: dict[str, Any] = {name: getattr(layer, name) for name in _BY_SAMPLE}
    sliced = {name: of_samples(tensor, part) for name, tensor in whole.items() if tensor is not None}
    return replace(layer, **sliced)


def of_samples(tensor: Tensor, samples: slice) -> Tensor:
    """These samples' part of a tensor, a view; all of one that samples share, or that was not recorded."""
    return tensor if len(tensor) == 1 else tensor[samples]
