"""How long losses of attention maps take, forward and backward, and how much memory they need."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.profiler import profile

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
LARGE = 2**22  # cells
DTYPES = {"cpu": (torch.float32,), "cuda": (torch.float32, torch.bfloat16, torch.float16)}
COPIED_MIB = 256
PROVIDERS: Sequence[tuple[str, str, MapFunction]] = (
    *(
        (f"amad {variant}", provider, partial(function, variant=variant))
        for variant in ("mse", "kl", "token")
        for provider, function in (("naive", naive_amad), ("ours", amad_loss))
    ),
    *(
        (f"student_mean {variant}", provider, partial(function, variant=variant))
        for variant in ("mse", "kl")
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

    Every provider is called once a round, one after the other, so that whatever else the machine does meets
    them alike. Columns: method, provider (naive: the formula as printed, `naive_losses`); shape, dtype,
    device, threads; p50_ms, p20_ms, p80_ms; extra_mib, the largest memory that torch's allocator had handed
    out beside the inputs, the gradient included; moved_mib, that a forward and a backward must read (both
    maps, twice) and write (the gradient); copy_gib_s, what copying 256 MiB reads and writes in a second, the
    median of measurements before and after; floor_ms, that these two imply.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return [
            row
            for device in ("cpu", "cuda")[: 1 + torch.cuda.is_available()]
            for shape in shapes
            for dtype in DTYPES[device]
            for row in _measure(shape, dtype, device, rounds)
        ]
    finally:
        torch.set_num_threads(before)


def _measure(shape: Shape, dtype: torch.dtype, device: str, rounds: int) -> list[dict[str, Any]]:
    teacher_BHQK, student_BGQK = _maps(shape, dtype, device)
    if teacher_BHQK.numel() < LARGE:
        rounds *= 5
    steps = [partial(_step, function, teacher_BHQK, student_BGQK) for _, _, function in PROVIDERS]
    for step in steps:
        step()  # a first call allocates workspaces and fills caches
    extra_mib = [_extra_mib(step, student_BGQK) for step in steps]
    copies = [_copy_seconds(device) for _ in range(3)]
    seconds: list[list[float]] = [[] for _ in steps]
    for _ in range(rounds):
        for step, taken in zip(steps, seconds, strict=True):
            taken.append(_seconds(step, device))
    copies += [_copy_seconds(device) for _ in range(3)]
    gib_s = 2 * COPIED_MIB / 2**10 / _percentile(copies, 0.5)
    moved_mib = (2 * teacher_BHQK.nbytes + 3 * student_BGQK.nbytes) / 2**20
    return [
        {
            "method": method,
            "provider": provider,
            **dict(zip("BHGQK", shape, strict=True)),
            "dtype": str(dtype).removeprefix("torch."),
            "device": device,
            "threads": torch.get_num_threads(),
            "p50_ms": 1e3 * _percentile(taken, 0.5),
            "p20_ms": 1e3 * _percentile(taken, 0.2),
            "p80_ms": 1e3 * _percentile(taken, 0.8),
            "extra_mib": extra,
            "moved_mib": moved_mib,
            "copy_gib_s": gib_s,
            "floor_ms": 1e3 * moved_mib / 2**10 / gib_s,
        }
        for (method, provider, _), extra, taken in zip(PROVIDERS, extra_mib, seconds, strict=True)
    ]


def _maps(shape: Shape, dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor]:
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


def _seconds(work: Callable[[], Any], device: str) -> float:
    _wait(device)
    started = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _copy_seconds(device: str) -> float:
    source = torch.ones(COPIED_MIB * 2**18, device=device)
    target = torch.ones_like(source)  # written once, so that its pages exist
    return min(_seconds(lambda: target.copy_(source), device) for _ in range(3))


def _percentile(values: Sequence[float], fraction: float) -> float:
    return float(torch.quantile(torch.tensor(values, dtype=torch.float64), fraction))


def _extra_mib(step: Callable[[], None], student_BGQK: Tensor) -> float:
    """By the allocator's own account; on CPU by the profiler, which sees what operators allocate inside."""
    student_BGQK.grad = None
    if student_BGQK.is_cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        allocated = torch.cuda.memory_allocated()
        step()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - allocated) / 2**20
    profiler = profile(profile_memory=True)
    with _without_stderr(), profiler:
        step()
    raw: Any = profiler.kineto_results  # the public events are sums by operator, which hide a peak inside one
    changes = sorted((e.start_ns(), e.nbytes()) for e in raw.events() if e.name() == "[memory]")
    return max(accumulate(change for _, change in changes)) / 2**20


@contextmanager
def _without_stderr() -> Iterator[None]:
    """The profiler's own messages come from C++, past every logger."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
