"""Time, memory and what the machine can move at all: what every measurement here is made of."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import torch
from torch.autograd.profiler import profile

from amad_bench.runtime.devices import CPU, DEVICES, Accelerator, accelerators, out_of_memory

COPIED_MIB = 256


@contextmanager
def on_threads(threads: int) -> Iterator[None]:
    """Computes on that many CPU threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def devices() -> list[str]:
    """Names of those that are there."""
    return [CPU.name, *(device.name for device in accelerators() if device.available())]


def interleaved_seconds(
    steps: Sequence[Callable[[], Any]], rounds: int, device: str
) -> tuple[list[list[float]], float]:
    """Durations of each step, one a round, and GiB that copying reads and writes in a second.

    Every step is called once a round, one after the other, so that whatever else the machine does meets them
    alike. Copying is timed before and after; its median counts.
    """
    copies = [_copy_seconds(device) for _ in range(3)]
    taken: list[list[float]] = [[] for _ in steps]
    for _ in range(rounds):
        for step, durations in zip(steps, taken, strict=True):
            durations.append(_seconds(step, device))
    copies += [_copy_seconds(device) for _ in range(3)]
    return taken, 2 * COPIED_MIB / 2**10 / _percentile(copies, 0.5)


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """p50_ms, p20_ms and p80_ms."""
    return {f"p{percent}_ms": 1e3 * _percentile(seconds, percent / 100) for percent in (50, 20, 80)}


def extra_mib(step: Callable[[], Any], device: str) -> float:
    """The largest memory that torch's allocator had handed out beside what was there before the step.

    By the allocator's own account; on CPU by the profiler, which sees what operators allocate inside.
    """
    used = DEVICES[device]
    if isinstance(used, Accelerator):
        used.synchronize()
        used.reset_peak()
        allocated = used.allocated_mib()
        step()
        used.synchronize()
        return used.peak_mib() - allocated
    profiler = profile(profile_memory=True)
    with _without_stderr(), profiler:
        step()
    raw: Any = profiler.kineto_results  # the public events are sums by operator, which hide a peak inside one
    changes = sorted((e.start_ns(), e.nbytes()) for e in raw.events() if e.name() == "[memory]")
    return max(accumulate(change for _, change in changes)) / 2**20


def problem_of(error: Exception) -> str:
    """Reason why something was not measured, in a line for its row."""
    return (
        "out of memory" if out_of_memory(error) else f"{type(error).__name__}: {error}".splitlines()[0][:200]
    )


def _seconds(work: Callable[[], Any], device: str) -> float:
    wait = DEVICES[device].synchronize
    wait()
    started = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - started


def _copy_seconds(device: str) -> float:
    source = torch.ones(COPIED_MIB * 2**18, device=device)
    target = torch.ones_like(source)  # written once, so that its pages exist
    return min(_seconds(lambda: target.copy_(source), device) for _ in range(3))


def _percentile(values: Sequence[float], fraction: float) -> float:
    return float(torch.quantile(torch.tensor(values, dtype=torch.float64), fraction))


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
