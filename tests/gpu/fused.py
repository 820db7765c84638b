"""Fused attention losses on a CUDA machine, against dense ones in float64, at real sizes.

    python -m tests.gpu.fused

A line for each size: how far the worst loss is off, its value, and gradients of the student's queries, keys
and bias (norm of the difference over the norm), by the kernels `triton` and `chunked`. Exit code 1 where 1e-5
(float32) or 2e-2 (bfloat16 inputs) is exceeded, 2 without CUDA. The first line waits for compilation.
"""

import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from amad_bench.losses import build_loss
from amad_bench.models.attention.trace import LayerTrace, Trace

TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
KERNELS = ("triton", "chunked")
LOSSES: dict[str, tuple[str, dict[str, Any]]] = {
    "kl": ("amad", {"variant": "kl"}),
    "mse": ("amad", {"variant": "mse"}),
    "token": ("amad", {"variant": "token"}),
    "l1": ("amad", {"variant": "kl", "similarity": "l1", "temperature": 0.1}),
    "one_to_one": ("one_to_one", {"drop": "extra"}),
    "head_mean": ("head_mean", {"distance": "mse"}),
    "student_mean": ("student_mean", {"distance": "kl"}),
}
SITE = "encoder.self"


@dataclass(frozen=True)
class Case:
    tokens: int
    heads: tuple[int, int]  # of teacher and student
    size: int  # of a head
    kind: str  # of mask
    dtype: torch.dtype
    batch: int = 2

    def __str__(self) -> str:
        precision = str(self.dtype).removeprefix("torch.")
        heads = "{:2d} {:2d}".format(*self.heads)
        return f"{self.tokens:4d}  {heads}  {self.size:4d}  {precision:8s}  {self.kind:14s}"


def cases() -> Iterator[Case]:
    """Every number of tokens with all heads; sizes of heads and kinds of masks take turns."""
    turns = itertools.count()
    for tokens in (56, 197, 577, 901):
        for heads in ((12, 12), (12, 8), (12, 4), (16, 8)):
            turn = next(turns)
            size = (64, 80, 96, 128)[(turn + turn // 4) % 4]
            kind = ("none", "padding, bias", "causal, shared", "window")[(turn + turn // 8) % 4]
            for dtype in TOLERANCES:
                yield Case(tokens, heads, size, kind, dtype)


def layers(case: Case, device: str) -> tuple[LayerTrace, LayerTrace]:
    """A teacher's and a student's layer in float64, of numbers that the case's precision has."""
    generator = torch.Generator().manual_seed(case.tokens)
    rows, columns = torch.arange(case.tokens)[:, None], torch.arange(case.tokens)
    mask, tokens_BQ = None, torch.ones(case.batch, case.tokens, dtype=torch.bool)
    if case.kind == "padding, bias":
        mask = torch.ones(case.batch, 1, 1, case.tokens, dtype=torch.bool)
        mask[-1, ..., case.tokens // 2 :] = False
        tokens_BQ[-1, case.tokens // 2 :] = False
    elif case.kind == "causal, shared":
        mask = (columns <= rows)[None, None]
    elif case.kind == "window":
        mask = ((columns <= rows) & (columns > rows - 32))[None, None]

    def normal(*sizes: int) -> Tensor:
        numbers = torch.randn(*sizes, generator=generator)
        return numbers.to(case.dtype).to(device, torch.float64)

    def layer(heads: int) -> LayerTrace:
        query_BHQD = normal(case.batch, heads, case.tokens, case.size)
        key_heads = heads // 2 if case.kind == "causal, shared" else heads
        key_BJKD = normal(case.batch, key_heads, case.tokens, case.size)
        bias = normal(1, heads, case.tokens, case.tokens) if case.kind == "padding, bias" else None
        on_device = None if mask is None else mask.to(device)
        scale = case.size**-0.5
        tokens = tokens_BQ.to(device)
        found = LayerTrace(query_BHQD, key_BJKD, key_BJKD, scale, bias, on_device, tokens, None)
        return replace(found, every_query=mask is None)

    return layer(case.heads[0]), layer(case.heads[1])


def computed(
    teacher: LayerTrace, student: LayerTrace, dtype: torch.dtype, name: str, kernel: str
) -> list[Tensor]:
    """The loss in float64, and its gradients, computed from inputs of this type."""
    teacher, student = of_type(teacher, dtype), of_type(student, dtype)
    leaves = [x for x in (student.query_BHQD, student.key_BJKD, student.bias_BHQK) if x is not None]
    for leaf in leaves:
        leaf.requires_grad_()
    method, options = LOSSES[name]
    loss = build_loss(method, kernel=kernel, **options)(trace(teacher), trace(student))["attention"]
    gradients = torch.autograd.grad(loss, leaves)
    return [x.detach().double() for x in (loss, *gradients)]


def of_type(layer: LayerTrace, dtype: torch.dtype) -> LayerTrace:
    names = ("query_BHQD", "key_BJKD", "value_BJKD", "bias_BHQK")
    tensors = {name: tensor for name in names if (tensor := getattr(layer, name)) is not None}
    return replace(layer, **{name: tensor.detach().clone().to(dtype) for name, tensor in tensors.items()})


def trace(layer: LayerTrace) -> Trace:
    nothing = layer.query_BHQD.new_zeros(len(layer.query_BHQD), 1, 1)
    return Trace(nothing, nothing[..., 0].long(), {SITE: [layer]})


def deviations(case: Case, device: str) -> dict[str, tuple[float, float]]:
    """By kernel: of the worst loss the value's, and of the worst gradient."""
    teacher, student = layers(case, device)
    worst = dict.fromkeys(KERNELS, (0.0, 0.0))
    for name in LOSSES:
        expected = computed(teacher, student, torch.float64, name, "dense")
        for kernel in KERNELS:
            found = computed(teacher, student, case.dtype, name, kernel)
            value, *gradients = (
                ((a - b).norm() / b.norm()).item() for a, b in zip(found, expected, strict=True)
            )
            worst[kernel] = max(worst[kernel][0], value), max(worst[kernel][1], *gradients)
    return worst


def line(case: Case, device: str) -> tuple[str, bool]:
    """What is printed, and whether all is within its tolerance (NaN is not)."""
    worst = deviations(case, device)
    fits = all(number <= TOLERANCES[case.dtype] for kernel in KERNELS for number in worst[kernel])
    numbers = "  ".join("{:7.1e} {:7.1e}".format(*worst[kernel]) for kernel in KERNELS)
    return f"{case}  {numbers}  {'ok' if fits else 'TOO FAR'}", fits


def main() -> int:
    if not torch.cuda.is_available():
        print("no CUDA device: the fused losses are checked on a GPU only", file=sys.stderr)
        return 2
    import triton

    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, Triton {triton.__version__}")
    print(f"losses: {', '.join(LOSSES)}; of the worst one: value, gradient")
    print(f"{'N':>4s}   H  G     D  {'inputs':8s}  {'mask':14s}  {'triton':15s}  {'chunked':15s}")
    failed = 0
    for case in cases():
        said, fits = line(case, "cuda")
        failed += not fits
        print(said, flush=True)
        torch.cuda.empty_cache()
    print(f"{failed} too far" if failed else "all within 1e-5 (float32) and 2e-2 (bfloat16)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
