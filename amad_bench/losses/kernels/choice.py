"""The kernel that computes a comparison, and how many samples it takes at a time."""

import torch

from amad_bench.losses.kernels.by_samples import Compare, by_samples, needs_gradient
from amad_bench.losses.kernels.compared import Compared
from amad_bench.models.attention.trace import LayerTrace

KERNELS = ("auto", "dense", "chunked")
# By kind of device: how many entries of both sides' maps are looked at together. `auto` is dense for a batch
# of no more entries, else chunked. Measurements: docs/engine.md#losses-without-the-maps-of-a-batch.
ENTRIES_AT_ONCE = {
    "cpu": 2**22,  # measured: 16 MiB of float32; up to here both take the same time
    "cuda": 2**26,  # not measured: 256 MiB, for few launches
}
OTHERS = "cuda"  # which row is read for a device that has none


def by_kernel(kernel: str, compare: Compare, teacher: LayerTrace, student: LayerTrace) -> Compared:
    """`compare` of both layers by the kernel auto, dense or chunked.

    Raises ValueError as `by_samples`.
    """
    if kernel == "auto":
        kernel = chosen(teacher, student)
    if kernel == "chunked":
        return by_samples(compare, teacher, student, samples_at_once(teacher, student))
    return compare(teacher, student)


def samples_at_once(teacher: LayerTrace, student: LayerTrace) -> int:
    """The number of samples whose maps are looked at together; 1 at least."""
    kind = student.query_mask_BQ.device.type
    entries = ENTRIES_AT_ONCE.get(kind, ENTRIES_AT_ONCE[OTHERS])
    return max(1, entries // max(1, _entries_of_a_sample(teacher, student)))


def chosen(teacher: LayerTrace, student: LayerTrace) -> str:
    """The kernel that `auto` is for these layers."""
    if torch.is_grad_enabled() and needs_gradient(teacher):
        return "dense"
    return "dense" if samples_at_once(teacher, student) >= student.shape_BHQK[0] else "chunked"


def _entries_of_a_sample(teacher: LayerTrace, student: LayerTrace) -> int:
    _, heads, queries, keys = teacher.shape_BHQK
    return (heads + student.shape_BHQK[1]) * queries * keys
