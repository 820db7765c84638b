"""Layers whose attention is compared, the losses of them, and the ways to compute these.

Axes: B batch, H teacher heads, G student heads, N tokens, D head size.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amad_bench.bench.attention.naive_layers import naive_loss, naive_minilm_v2
from amad_bench.bench.naive_losses import (
    naive_amad,
    naive_head_mean,
    naive_one_to_one,
    naive_student_mean,
)
from amad_bench.losses import build_loss
from amad_bench.models.attention.trace import LayerTrace, Trace, unread
from amad_bench.plan.catalogue import LOSSES
from amad_bench.runtime.devices import CUDA

HEAD_SIZE = 64
NAIVE = "naive"
DENSE, CHUNKED, TRITON = KERNELS = ("dense", "chunked", "triton")  # values of a loss's option `kernel`
_SITE = "vision.self"

LayerFunction = Callable[[LayerTrace, LayerTrace], Tensor]  # teacher, student -> scalar


class Shape(NamedTuple):
    """teacher_size, student_size: of a head."""

    batch: int
    teacher_heads: int
    student_heads: int
    tokens: int
    teacher_size: int
    student_size: int

    @classmethod
    def of_width(cls, batch: int, teacher_heads: int, student_heads: int, tokens: int) -> "Shape":
        """Heads of the teacher have HEAD_SIZE, and the student's together are as wide as the teacher's."""
        width = HEAD_SIZE * teacher_heads
        return cls(batch, teacher_heads, student_heads, tokens, HEAD_SIZE, width // student_heads)

    @property
    def teacher_width(self) -> int:
        return self.teacher_heads * self.teacher_size

    @property
    def student_width(self) -> int:
        return self.student_heads * self.student_size


@dataclass(frozen=True)
class Method:
    """A loss that is measured.

    name: its name in the catalogue; naive: the same by autograd. relations: what is compared are relations of
    queries, of keys and of values among themselves, not maps. contractions: how often every entry of all maps
    of one side meets all of the other side.
    """

    label: str
    name: str
    naive: LayerFunction
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    relations: bool = False
    contractions: int = 0

    def providers(self, device: str) -> dict[str, LayerFunction]:
        """The ways to compute it on a device, by name, the naive one first."""
        return {NAIVE: self.naive} | {
            kernel: partial(_ours, self.name, options)
            for kernel, options in kernel_options(self.name, self.options, device).items()
        }


def kernel_options(name: str, options: Mapping[str, Any], device: str) -> dict[str, dict[str, Any]]:
    """Options of the loss with each kernel that it has there, by the kernel's name; dense, where it has one
    way only."""
    record = LOSSES[name]
    if "kernel" not in record.options:
        return {DENSE: dict(options)}
    choices = record.options["kernel"].choices
    kernels = [
        kernel for kernel in KERNELS if kernel in choices and (kernel != TRITON or device == CUDA.name)
    ]
    found = {kernel: {**options, "kernel": kernel} for kernel in kernels}
    return {kernel: chosen for kernel, chosen in found.items() if not record.clash(chosen)}


def _ours(name: str, options: Mapping[str, Any], teacher: LayerTrace, student: LayerTrace) -> Tensor:
    loss = build_loss(name, sites=[_SITE], **options)
    return loss(_trace(teacher), _trace(student))["attention"]


def _trace(layer: LayerTrace) -> Trace:
    return Trace(torch.empty(0, 0, 0), torch.empty(0, 0, dtype=torch.long), {_SITE: [layer]})


def _of_maps(
    label: str, name: str, function: Callable[..., Tensor], contractions: int = 0, **options: Any
) -> Method:
    return Method(label, name, partial(naive_loss, function), options, contractions=contractions)


# AMAD: similarities and their part of the gradient; without the Gram form also mixtures, their part, and
# what the gradient of the alignment is made of.
METHODS: Sequence[Method] = (
    *(
        _of_maps(f"amad {name}", "amad", partial(naive_amad, variant=name), contractions, variant=name)
        for name, contractions in (("mse", 2), ("kl", 5), ("token", 5))
    ),
    _of_maps("student_mean kl", "student_mean", naive_student_mean),
    _of_maps("one_to_one kl", "one_to_one", naive_one_to_one, drop="extra"),
    _of_maps("head_mean kl", "head_mean", naive_head_mean),
    Method("minilm_v2", "minilm_v2", naive_minilm_v2, relations=True),
)


class Case(NamedTuple):
    """A teacher's and a student's layer, without masks as patches of an image have none.

    inputs: tensors of the student that get a gradient.
    """

    teacher: LayerTrace
    student: LayerTrace
    inputs: tuple[Tensor, ...]


def random_case(shape: Shape, dtype: torch.dtype, device: str, values: bool = False) -> Case:
    """The same one for equal arguments; values: of the losses that read them."""
    generator = torch.Generator().manual_seed(0)
    layers: list[LayerTrace] = []
    for heads, head_size in (
        (shape.teacher_heads, shape.teacher_size),
        (shape.student_heads, shape.student_size),
    ):
        size = (shape.batch, heads, shape.tokens, head_size)
        # Scores of deviation 2, so that maps are neither flat nor of one entry.
        query, key, value = (
            (torch.randn(size, generator=generator) * 2**0.5).to(device, dtype) for _ in range(3)
        )
        tokens_BN = torch.ones(shape.batch, shape.tokens, dtype=torch.bool, device=device)
        kept = value if values else unread()
        scale = size[-1] ** -0.5
        layers.append(LayerTrace(query, key, kept, scale, None, None, tokens_BN, None, every_query=True))
    teacher, student = layers
    inputs = (student.query_BHQD, student.key_BJKD, *([student.value_BJKD] if values else []))
    for tensor in inputs:
        tensor.requires_grad_()
    return Case(teacher, student, inputs)
