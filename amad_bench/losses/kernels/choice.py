"""Which kernel computes a comparison, and how many samples it takes at a time."""

import torch

from amad_bench.losses.kernels.by_samples import Compare, by_samples, needs_gradient
from amad_bench.losses.kernels.compared import Compared
from amad_bench.models.attention.trace import LayerTrace

KERNELS = ("auto", "dense", "chunked")
CPU_ENTRIES = 2**22  # of maps of teacher and student that are looked at together
GPU_ENTRIES = 2**26


def by_kernel(kernel: str, compare: Compare, teacher: LayerTrace, student: LayerTrace) -> Compared:
    """`compare` of both layers by the kernel auto, dense or chunked.

    Raises ValueError as `by_samples`.
    """
    if kernel == "auto":
        kernel = _chosen(teacher, student)
    if kernel == "chunked":
        return by_samples(compare, teacher, student, samples_at_once(teacher, student))
    return compare(teacher, student)


def samples_at_once(teacher: LayerTrace, student: LayerTrace) -> int:
    """How many samples' maps fit into what a device's caches hold; 1 at least."""
    limit = CPU_ENTRIES if student.query_mask_BQ.device.type == "cpu" else GPU_ENTRIES
    return max(1, limit // max(1, _entries_of_a_sample(teacher, student)))


def _entries_of_a_sample(teacher: LayerTrace, student: LayerTrace) -> int:
    _, heads, queries, keys = teacher.shape_BHQK
    return (heads + student.shape_BHQK[1]) * queries * keys


def _chosen(teacher: LayerTrace, student: LayerTrace) -> str:
    if torch.is_grad_enabled() and needs_gradient(teacher):
        return "dense"
    return "dense" if samples_at_once(teacher, student) >= student.shape_BHQK[0] else "chunked"
