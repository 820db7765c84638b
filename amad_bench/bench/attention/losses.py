"""Time and memory of losses of attention from queries and keys, forward and backward."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any

import torch

from amad_bench.bench.attention.cases import METHODS, NAIVE, Case, LayerFunction, Method, Shape, random_case
from amad_bench.bench.attention.floor import Rates, floor_ms, moved_bytes, operations, product_tflop_s
from amad_bench.bench.measuring import extra_mib, interleaved_seconds, percentiles_ms, problem_of
from amad_bench.runtime.devices import CPU, DEVICES

HEADS = ((12, 12), (12, 8), (12, 4), (16, 8))
TOKENS = (56, 197, 577, 901)  # VL-T5's encoder, ViT at 224 and 384 px, BLIP at 480 px
CPU_BATCH, BATCH = 4, 16
ROUNDS = 5
FEWER = 2  # on a CPU, of large maps of other heads than DRAWN: all would take an hour
LARGE = 2**20  # entries of a sample's maps
DRAWN = (12, 8)  # heads of the figure, and of what must be shown
CPU_NUMBERS, NUMBERS = ("float32",), ("bfloat16", "float32")


def batch_of(device: str) -> int:
    return CPU_BATCH if device == CPU.name else BATCH


def grid(device: str) -> list[Shape]:
    """All shapes that are measured there, small ones first."""
    return [Shape.of_width(batch_of(device), *heads, tokens) for tokens, heads in product(TOKENS, HEADS)]


def bench_attention(
    device: str,
    shapes: Iterable[Shape],
    methods: Sequence[Method] = METHODS,
    rounds: int = ROUNDS,
) -> Iterator[dict[str, Any]]:
    """One row per shape, number type, method and provider: loss, and gradient by the student's queries and
    keys (and values, of `minilm_v2`).

    Providers: naive, softmax of scores and the formula as printed, by autograd; dense, chunked, triton: the
    package's loss with that `kernel`. They take turns. Columns: method, provider; B, H, G, N; dtype, device,
    threads; rounds; best_ms, p50_ms, p20_ms, p80_ms of them; time_over_naive: the ratio of best times;
    extra_mib: the largest memory that torch's allocator had handed out beside the inputs, gradients included;
    least_mib: these alone; memory_over_naive; moved_mib, gflop: see `floor`; copy_gib_s, product_tflop_s:
    what the device does, measured beside; floor_ms: what follows; over_floor: best_ms over it.
    A provider that does not fit into memory, or cannot take the shape, has a `problem` and no numbers.
    """
    for shape in shapes:
        for name in CPU_NUMBERS if device == CPU.name else NUMBERS:
            rate = product_tflop_s(shape, getattr(torch, name), device)
            for method in methods:
                yield from _rows(method, shape, getattr(torch, name), device, rounds, rate)


def _rows(
    method: Method, shape: Shape, dtype: torch.dtype, device: str, rounds: int, rate: float
) -> Iterator[dict[str, Any]]:
    case = random_case(shape, dtype, device, values=method.relations)
    steps = {name: partial(_step, function, case) for name, function in method.providers(device).items()}
    extra, problems = {}, {}
    for name, step in steps.items():
        try:
            extra[name] = _extra_mib(step, case, device)
        except Exception as error:  # of a compiler, too: one way less, and not all of them
            problems[name] = problem_of(error)
    seconds, gib_s = interleaved_seconds([steps[name] for name in extra], rounds, device)
    taken = dict(zip(extra, seconds, strict=True))
    rates = Rates(gib_s, rate)
    least = floor_ms(method, shape, dtype.itemsize, rates)
    facts = {
        **dict(zip("BHGN", shape, strict=False)),
        "dtype": str(dtype).removeprefix("torch."),
        "device": device,
        "threads": torch.get_num_threads(),
    }
    for name in steps:
        row = {"method": method.label, "provider": name, **facts}
        if name in problems:
            yield row | {"problem": problems[name]}
            continue
        best = 1e3 * min(taken[name])
        yield row | {
            "rounds": rounds,
            "best_ms": best,
            **percentiles_ms(taken[name]),
            "time_over_naive": best / (1e3 * min(taken[NAIVE])) if NAIVE in taken else None,
            "extra_mib": extra[name],
            "memory_over_naive": extra[name] / extra[NAIVE] if NAIVE in extra else None,
            "least_mib": sum(tensor.nbytes for tensor in case.inputs) / 2**20,
            "moved_mib": moved_bytes(method, shape, dtype.itemsize) / 2**20,
            "gflop": operations(method, shape) / 1e9,
            **rates._asdict(),
            "floor_ms": least,
            "over_floor": best / least,
            "problem": None,
        }


def _step(function: LayerFunction, case: Case) -> None:
    for tensor in case.inputs:
        tensor.grad = None
    function(case.teacher, case.student).backward()


def _extra_mib(step: partial[None], case: Case, device: str) -> float:
    """Memory of a second call: a first one on a GPU allocates workspaces and compiles kernels."""
    if device != CPU.name:
        step()
        DEVICES[device].release()
    for tensor in case.inputs:  # of the call before: no part of this one's memory
        tensor.grad = None
    return extra_mib(step, device)
