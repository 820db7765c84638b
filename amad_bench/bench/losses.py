"""Time that losses of attention maps take, forward and backward, and the memory they need."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amad_bench.bench.measuring import devices, extra_mib, interleaved_seconds, on_threads, percentiles_ms
from amad_bench.bench.naive_losses import naive_amad, naive_student_mean
from amad_bench.losses import (
    amad_loss,
    head_mean_loss,
    hungarian_loss,
    one_to_one_loss,
    random_alignment_loss,
    sinkhorn_loss,
    student_mean_loss,
)
from amad_bench.runtime.devices import DEVICES

MapFunction = Callable[[Tensor, Tensor], Tensor]  # teacher_BHQK, student_BGQK -> scalar


class Shape(NamedTuple):
    batch: int
    teacher_heads: int
    student_heads: int
    queries: int
    keys: int


SHAPES = (
    Shape(4, 12, 8, 577, 577),  # BLIP's vision tower at 384 px
    Shape(128, 8, 2, 20, 20),  # a small run, where what counts is overhead
)
ROUNDS = 9  # for large maps; small ones get five times as many
LARGE = 2**22  # entries
PROVIDERS: Sequence[tuple[str, str, MapFunction]] = (
    *(
        (f"amad {variant}", provider, partial(function, variant=variant))
        for variant in ("mse", "kl", "token")
        for provider, function in (("naive", naive_amad), ("ours", amad_loss))
    ),
    *(
        (f"student_mean {distance}", provider, partial(function, distance=distance))
        for distance in ("mse", "kl")
        for provider, function in (("naive", naive_student_mean), ("ours", student_mean_loss))
    ),
    ("random_alignment kl", "ours", lambda t, s: random_alignment_loss(t, s, _uniform_weights(t, s))),
    ("sinkhorn kl", "ours", sinkhorn_loss),
    ("hungarian kl", "ours", hungarian_loss),
    ("one_to_one kl", "ours", partial(one_to_one_loss, drop="extra")),
    ("head_mean kl", "ours", head_mean_loss),
)


def bench_losses(
    threads: int, shapes: Sequence[Shape] = SHAPES, rounds: int = ROUNDS
) -> list[dict[str, Any]]:
    """One row per shape, device, type and loss of maps alone; loss and gradient by the student's maps.

    Columns: method, provider (naive: the formula as printed, `naive_losses`); shape, dtype,
    device, threads; p50_ms, p20_ms, p80_ms; extra_mib, the largest memory that torch's allocator had handed
    out beside the inputs, the gradient included; moved_mib, that a forward and a backward must read (both
    maps, twice) and write (the gradient); copy_gib_s, what copying 256 MiB reads and writes in a second, the
    median of measurements before and after; floor_ms, that these two imply.
    """
    with on_threads(threads):
        return [
            row
            for device in devices()
            for shape in shapes
            for dtype in DEVICES[device].dtypes
            for row in _measure(shape, getattr(torch, dtype), device, rounds)
        ]


def _measure(shape: Shape, dtype: torch.dtype, device: str, rounds: int) -> list[dict[str, Any]]:
    teacher_BHQK, student_BGQK = random_maps(shape, dtype, device)
    if teacher_BHQK.numel() < LARGE:
        rounds *= 5
    steps = [partial(_step, function, teacher_BHQK, student_BGQK) for _, _, function in PROVIDERS]
    for step in steps:
        step()  # a first call allocates workspaces and fills caches
    extra = [_extra_mib(step, student_BGQK) for step in steps]
    seconds, gib_s = interleaved_seconds(steps, rounds, device)
    moved_mib = (2 * teacher_BHQK.nbytes + 3 * student_BGQK.nbytes) / 2**20
    return [
        {
            "method": method,
            "provider": provider,
            **dict(zip("BHGQK", shape, strict=True)),
            "dtype": str(dtype).removeprefix("torch."),
            "device": device,
            "threads": torch.get_num_threads(),
            **percentiles_ms(taken),
            "extra_mib": mib,
            "moved_mib": moved_mib,
            "copy_gib_s": gib_s,
            "floor_ms": 1e3 * moved_mib / 2**10 / gib_s,
        }
        for (method, provider, _), mib, taken in zip(PROVIDERS, extra, seconds, strict=True)
    ]


def random_maps(shape: Shape, dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor]:
    """teacher_BHQK and student_BGQK, the same ones each time; the student's needs its gradient."""
    generator = torch.Generator().manual_seed(0)
    batch, teacher_heads, student_heads, queries, keys = shape
    teacher_BHQK, student_BGQK = (
        torch.randn(batch, heads, queries, keys, generator=generator).mul_(2).softmax(-1).to(device, dtype)
        for heads in (teacher_heads, student_heads)
    )
    return teacher_BHQK, student_BGQK.requires_grad_()


def _uniform_weights(teacher_BHQK: Tensor, student_BGQK: Tensor) -> Tensor:
    heads, students = teacher_BHQK.shape[1], student_BGQK.shape[1]
    return student_BGQK.new_full((heads, students), 1 / students, dtype=torch.float32)


def _step(function: MapFunction, teacher_BHQK: Tensor, student_BGQK: Tensor) -> None:
    student_BGQK.grad = None
    function(teacher_BHQK, student_BGQK).backward()


def _extra_mib(step: Callable[[], None], student_BGQK: Tensor) -> float:
    student_BGQK.grad = None  # of the call before: no part of this one's memory
    return extra_mib(step, student_BGQK.device.type)
