"""Map losses by Triton kernels, for CUDA: no map outlives its samples, the gradient is made in the forward pass.

A loss of maps is a mean over samples, so its upstream factor is one number: while a few samples' maps are
there, the gradient to the student's queries, keys and bias is computed, too, and scaled in the backward pass.
Scores, and gradients from theirs, are matrix products by torch; all between is the kernels' (triton_kernels.py).
Maps are float32, sums over rows float64. Of bfloat16 queries the gradient of the scores is rounded to bfloat16.
"""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import Function, once_differentiable

from amad_bench.losses.aligned import Aligned
from amad_bench.losses.kernels.score_products import Gradients, of_samples
from amad_bench.losses.kernels.triton_recipe import Recipe, recipe, shares
from amad_bench.losses.maps import check_mask, check_shapes, without_autocast
from amad_bench.models.attention.trace import LayerTrace

CHUNK = 2**26  # entries of both sides' maps at a time: 256 MiB, for few launches


def triton_loss(
    teacher: LayerTrace, student: LayerTrace, mask_B1QK: Tensor | None, *, method: str, **options: Any
) -> Aligned:
    """The loss called `method` in the catalogue (amad, one_to_one, head_mean, student_mean) of two layers.

    mask_B1QK: entries that count, as `traced_entries` gives them. A scalar in float32, with a gradient to the
    student's queries, keys and bias only; the alignment (of fixed weights: those) has none.
    Raises ValueError without CUDA or Triton, for float64, for maps in place of the student's queries, for a
    teacher that asks for a gradient, and for what the loss's function refuses.
    """
    check_shapes(teacher.shape_BHQK, student.shape_BHQK)
    batch, students, queries, keys = student.shape_BHQK
    heads = teacher.shape_BHQK[1]
    how = recipe(method, (heads, students), options)
    _check(teacher, student)
    for mask, name in (
        (mask_B1QK, "the mask"),
        (teacher.mask_BHQK, "the attention mask"),
        (student.mask_BHQK, "the attention mask"),
    ):
        if mask is not None:
            check_mask(name, mask, (batch, 1, queries, keys), broadcast=True)
    differentiable = student.query_BHQD, student.key_BJKD, student.bias_BHQK
    loss, alignment_BHG, counts_B = cast(
        tuple[Tensor, Tensor, Tensor],
        _TritonLoss.apply(  # pyright: ignore[reportUnknownMemberType]
            *differentiable,
            _Problem(teacher, student, mask_B1QK, how),
            torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in differentiable),
        ),
    )
    return Aligned(loss, alignment_BHG, counts_B)


def _check(teacher: LayerTrace, student: LayerTrace) -> None:
    instead = "use kernel: chunked"
    device = student.query_BHQD.device
    if importlib.util.find_spec("triton") is None:
        raise ValueError(f"kernel 'triton' needs the package triton, which is not installed; {instead}")
    if student.given_probs_BHQK is not None:
        raise ValueError(
            "kernel 'triton' reads the student's queries and keys, not given maps; use kernel: dense"
        )
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":  # of the tests
        raise ValueError(f"kernel 'triton' needs a CUDA device, not {device.type}; {instead}")
    if student.query_BHQD.dtype == torch.float64:
        raise ValueError(f"kernel 'triton' computes in float32, not in float64; {instead}")
    taught = teacher.query_BHQD, teacher.key_BJKD, teacher.bias_BHQK, teacher.given_probs_BHQK
    if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in taught):
        raise ValueError("kernel 'triton' gives the teacher no gradient; record it under torch.no_grad()")


class _Problem(NamedTuple):
    """Two layers, which entries count, how they are compared; tensors are read as constants."""

    teacher: LayerTrace
    student: LayerTrace
    mask_B1QK: Tensor | None
    how: Recipe

    @property
    def rows_BQ(self) -> Tensor:
        """Query rows that have an entry that counts."""
        batch, _, queries, keys = self.student.shape_BHQK
        if self.mask_B1QK is None:
            return torch.ones(batch, queries, dtype=torch.bool, device=self.student.query_BHQD.device)
        return self.mask_B1QK.expand(batch, 1, queries, keys)[:, 0].any(-1)

    def parts(self) -> Iterator[slice]:
        """Samples at a time."""
        batch, students, queries, keys = self.student.shape_BHQK
        entries = (self.teacher.shape_BHQK[1] + students) * queries * keys
        step = max(1, CHUNK // max(1, entries))
        return (slice(first, first + step) for first in range(0, batch, step))


class _TritonLoss(Function):
    @staticmethod
    def forward(
        ctx: Any,
        query_BHQD: Tensor,
        key_BJKD: Tensor,
        bias_BHQK: Tensor | None,
        problem: _Problem,
        differentiate: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        from amad_bench.losses.kernels.triton_part import Part

        gradients = Gradients(problem.student) if differentiate else None
        heads = 1 if problem.how.of_mean else problem.teacher.shape_BHQK[1]
        rows_BQ = problem.rows_BQ
        share_BH = shares(problem.how, rows_BQ.sum(1), heads, problem.student.shape_BHQK[1])
        alignments: list[Tensor] = []
        loss = torch.zeros((), dtype=torch.float64, device=rows_BQ.device)
        with without_autocast(rows_BQ.device), _on(rows_BQ.device):
            for samples in problem.parts():
                mask_B1QK = None if problem.mask_B1QK is None else of_samples(problem.mask_B1QK, samples)
                part = Part(problem.teacher, problem.student, samples, mask_B1QK, problem.how)
                loss += part.loss(share_BH[samples])
                alignments.append(part.alignment(rows_BQ[samples]))
                if gradients is not None:
                    gradients.write(samples, part.gradient_of_scores(share_BH[samples]))
        ctx.save_for_backward(*((None, None, None) if gradients is None else gradients.tensors()))
        alignment_BHG, counts_B = torch.cat(alignments), rows_BQ.any(1)
        ctx.mark_non_differentiable(alignment_BHG, counts_B)
        return loss.float(), alignment_BHG, counts_B

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (torch's stub takes any)
        ctx: Any, upstream: Tensor, *_: Tensor
    ) -> tuple[Tensor | None, ...]:
        return *(None if x is None else x * upstream.to(x.dtype) for x in ctx.saved_tensors), None, None


def _on(device: torch.device) -> AbstractContextManager[object]:
    """Where Triton starts its kernels: on the current device, which need not be the tensors'."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
