"""Entries of two recorded maps, and samples, that a loss compares."""

from functools import reduce

import torch
from torch import Tensor

from amad_bench.losses.maps import check_mask, check_shapes
from amad_bench.models.attention.trace import LayerTrace


def traced_entries(teacher: LayerTrace, student: LayerTrace) -> Tensor | None:
    """Entries valid in both layers' maps: bool, broadcasts to (B, 1, Q, K); None where all are known to be.

    Raises ValueError for maps of different sizes, for masks that do not fit and for one per head: all heads
    must have the same entries.
    """
    teacher_shape, student_shape = teacher.shape_BHQK, student.shape_BHQK
    check_shapes(teacher_shape, student_shape)
    batch, _, queries, keys = student_shape
    masks: list[Tensor] = []
    for layer in (teacher, student):
        if not layer.every_query:
            masks.append(layer.query_mask_BQ[:, None, :, None])
        if layer.mask_BHQK is not None:
            check_mask("the attention mask", layer.mask_BHQK, (batch, 1, queries, keys), broadcast=True)
            masks.append(layer.mask_BHQK)
    return reduce(torch.logical_and, masks) if masks else None


def traced_samples(teacher: LayerTrace, student: LayerTrace) -> Tensor:
    """Samples (B,) with a valid entry in both layers' maps, bool. Raises ValueError as `traced_entries`."""
    mask_B1QK = traced_entries(teacher, student)
    batch = student.shape_BHQK[0]
    if mask_B1QK is None:
        return student.query_mask_BQ.new_ones(batch)
    return mask_B1QK.flatten(1).any(1).expand(batch)  # a causal mask may be one for all samples
