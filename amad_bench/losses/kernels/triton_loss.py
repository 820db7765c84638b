"""Map losses by Triton kernels, for CUDA: no map outlives its samples, gradients are made with the value.

A loss of maps is a mean over samples, so its upstream factor is one number: while a few samples' maps are
there, gradients of the student's queries, keys and bias are computed, too, to be scaled in the backward pass.
Scores, and gradients from theirs, are matrix products by torch; all between is triton_kernels.py's. Maps are
float32, sums over rows float64. Of bfloat16 queries and keys the scores' gradient is rounded to bfloat16.
"""

import importlib.util
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from amad_bench.losses.aligned import Aligned
from amad_bench.losses.kernels.by_samples import of_samples
from amad_bench.losses.kernels.choice import samples_at_once
from amad_bench.losses.kernels.given_gradients import with_gradients
from amad_bench.losses.kernels.score_products import Gradients
from amad_bench.losses.kernels.triton_recipe import Recipe, recipe, shares
from amad_bench.losses.maps import check_mask, check_shapes, valid_rows, without_autocast
from amad_bench.models.attention.trace import LayerTrace


def triton_loss(
    teacher: LayerTrace,
    student: LayerTrace,
    mask_B1QK: Tensor | None,
    *,
    method: str,
    options: Mapping[str, Any],
) -> Aligned:
    """The loss `method` of two layers: amad, one_to_one, head_mean or student_mean; its function's options.

    mask_B1QK: entries that count, as `traced_entries` gives them. A scalar in float32, with a gradient to the
    student's queries, keys and bias only; the alignment (of fixed weights: those) has none.
    Raises ValueError without CUDA or Triton, for float16 and float64, for maps in place of the student's
    queries, for a teacher that asks for a gradient, and for what the loss's function refuses.
    """
    check_shapes(teacher.shape_BHQK, student.shape_BHQK)
    how = recipe(method, (teacher.shape_BHQK[1], student.shape_BHQK[1]), options)
    _check(teacher, student, mask_B1QK)
    differentiable = [student.query_BHQD, student.key_BJKD]
    if student.bias_BHQK is not None and student.bias_BHQK.requires_grad:
        differentiable.append(student.bias_BHQK)
    gradients = None
    if torch.is_grad_enabled() and any(x.requires_grad for x in differentiable):
        gradients = Gradients(student)
    with torch.no_grad(), without_autocast(student.query_BHQD.device), _on(student.query_BHQD.device):
        found = _by_parts(teacher, student, mask_B1QK, how, gradients)
    if gradients is None:
        return found
    return found._replace(loss=with_gradients(found.loss, differentiable, gradients.tensors()))


def _by_parts(
    teacher: LayerTrace,
    student: LayerTrace,
    mask_B1QK: Tensor | None,
    how: Recipe,
    gradients: Gradients | None,
) -> Aligned:
    """Some samples at a time; `gradients` are written."""
    from amad_bench.losses.kernels.triton_part import Part  # which imports Triton

    heads, students = 1 if how.of_mean else teacher.shape_BHQK[1], student.shape_BHQK[1]
    rows_BQ = valid_rows(mask_B1QK, student.shape_BHQK, student.query_BHQD.device)
    share_BH = shares(how, rows_BQ.sum(1), heads, students)
    loss = torch.zeros((), dtype=torch.float64, device=rows_BQ.device)
    alignments: list[Tensor] = []
    step = samples_at_once(teacher, student)
    for start in range(0, len(rows_BQ), step):
        samples = slice(start, start + step)
        mask = None if mask_B1QK is None else of_samples(mask_B1QK, samples)
        part = Part(teacher, student, samples, mask, how)
        loss += part.loss(share_BH[samples])
        alignments.append(part.alignment(rows_BQ[samples]))
        if gradients is not None:
            gradients.write(samples, part.gradient_of_scores(share_BH[samples]))
    return Aligned(loss.float(), torch.cat(alignments), rows_BQ.any(1))


def require_triton(device: torch.device) -> None:
    """ValueError where the kernels cannot run: no CUDA, or no package."""
    instead = "use kernel 'chunked'"
    if importlib.util.find_spec("triton") is None:
        raise ValueError(f"kernel 'triton' needs the package triton, which is not installed; {instead}")
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":  # as the tests set it
        raise ValueError(f"kernel 'triton' needs a CUDA device, not {device.type}; {instead}")


def _check(teacher: LayerTrace, student: LayerTrace, mask_B1QK: Tensor | None) -> None:
    device = student.query_BHQD.device
    instead = "use kernel 'chunked'"
    require_triton(device)
    if student.given_probs_BHQK is not None:
        raise ValueError(f"kernel 'triton' reads the student's queries and keys, not given maps; {instead}")
    if (dtype := student.query_BHQD.dtype) in (torch.float16, torch.float64):  # small gradients would be 0
        raise ValueError(f"kernel 'triton' reads float32 and bfloat16, not {dtype}; {instead}")
    taught = teacher.query_BHQD, teacher.key_BJKD, teacher.bias_BHQK, teacher.given_probs_BHQK
    if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in taught):
        raise ValueError("kernel 'triton' gives the teacher no gradient; detach its trace or use 'dense'")
    batch, _, queries, keys = student.shape_BHQK
    masks = {"the mask": mask_B1QK, "the attention mask": student.mask_BHQK}
    for name, mask in (*masks.items(), ("the attention mask", teacher.mask_BHQK)):
        if mask is not None:
            check_mask(name, mask, (batch, 1, queries, keys), broadcast=True)


def _on(device: torch.device) -> AbstractContextManager[object]:
    """The current device is where Triton starts its kernels; it need not be the tensors' own."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
