"""Training steps with a loss of attention, beside steps of `logit_kd` alone, eager and compiled."""

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from amad_bench.bench.attention.cases import METHODS, NAIVE, Shape, kernel_options
from amad_bench.bench.attention.floor import Rates, floor_ms, product_tflop_s
from amad_bench.bench.attention.naive_layers import naive_loss
from amad_bench.bench.attention.step_runs import ATTENTION, LOGITS, OPTIONS, attention_plan, run_of
from amad_bench.bench.engine.synthetic import synthetic_data
from amad_bench.bench.measuring import extra_mib, interleaved_seconds, percentiles_ms, problem_of
from amad_bench.bench.naive_losses import naive_amad
from amad_bench.bench.training_steps import TrainingStep, training_step
from amad_bench.losses import build_loss
from amad_bench.losses.base import LayerLoss, LayerPair, TraceLoss
from amad_bench.models.weights import own_tensors
from amad_bench.plan.catalogue import LOSSES
from amad_bench.plan.cost.data_facts import data_facts
from amad_bench.plan.plan import Plan
from amad_bench.runtime.devices import CPU, DEVICES
from amad_bench.runtime.precision import Precision
from amad_bench.training.accumulation import MicroBatch

NONE, LAST, ALL = "none", "last", "all"  # layers whose attention is compared
LAYER_MAPS = {LAST: "last", ALL: "uniform"}
ROWS = "dense, 128 query rows"
PRECISIONS: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
WARM = 2  # steps that nobody counts: they compile and choose kernels
ROUNDS = 5
CPU_BATCH, CPU_ROUNDS = 2, 5  # of a small version, most of whose minutes go into compiling
BATCH = 16
_KL = next(method for method in METHODS if method.label == "amad kl")


class Kind(NamedTuple):
    """Steps that are measured in turns: of one model, as it is run."""

    family: str
    precision: Precision
    compiled: bool


class NaiveAmad(LayerLoss):
    """AMAD's `kl` by `naive_loss`; shapes: of the pairs of layers that it saw, by their names."""

    def __init__(self, sites: Sequence[str], layer_map: str) -> None:
        super().__init__(sites, layer_map)
        self.shapes: dict[str, Shape] = {}

    def compare(self, pair: LayerPair) -> Tensor:
        teacher, student = pair.teacher.query_BHQD, pair.student.query_BHQD
        batch, heads, tokens, size = teacher.shape
        self.shapes[pair.key] = Shape(batch, heads, student.shape[1], tokens, size, student.shape[3])
        return naive_loss(naive_amad, pair.teacher, pair.student)


def size_of(device: str) -> tuple[Plan, int, int]:
    """The plan whose steps are measured there, their batch and rounds; on a CPU a small version."""
    if device == CPU.name:
        return attention_plan(small=True), CPU_BATCH, CPU_ROUNDS
    return attention_plan(), BATCH, ROUNDS


def precisions_of(device: str) -> tuple[Precision, ...]:
    """Those that are measured there; on a CPU one, for time."""
    return ("fp32",) if device == CPU.name else tuple(PRECISIONS)


def kinds(plan: Plan, precisions: Iterable[Precision] = PRECISIONS) -> list[Kind]:
    """All that a plan has: eager before compiled, families in their order."""
    families = dict.fromkeys(run.config.family for run in plan.runs)
    return [
        Kind(family, precision, compiled)
        for compiled in (False, True)
        for precision in precisions
        for family in families
    ]


def bench_attention_steps(
    plan: Plan, batch: int, rounds: int, device: str, kind: Kind
) -> list[dict[str, Any]]:
    """One row per choice of layers and way to compute the loss; the first is `logit_kd` alone.

    A step is that of a training whose teacher runs for each batch. Layers: none, last (on no CPU, where
    compiling for it takes too long), all (pairs: how many pairs of layers are compared). Kernels: naive,
    softmax of scores and the formula as printed, by autograd; dense, chunked, triton; and sampled query rows.
    They take turns. Columns: family, task, precision,
    compiled, layers, kernel, pairs; batch, N, heads; rounds; best_ms, p50_ms, p20_ms, p80_ms; steps_s;
    added_ms and added_share: over `logit_kd`, medians of a round's differences and ratios; peak_mib: weights,
    their gradients, the optimizer's numbers, the teacher, and the most that torch's allocator had handed out
    beside; memory_share: what is added to `logit_kd`'s; floor_ms: of all pairs, see `floor`; over_floor:
    added_ms over it; graphs: of the compiled student and teacher, one each where nothing breaks them; device,
    threads. What does not fit, or cannot be computed so, has a `problem`.
    """
    torch._dynamo.reset()
    gc.collect()  # the last kind's models, which a circle may hold
    DEVICES[device].release()
    with ExitStack() as stack:
        return _measured(plan, batch, rounds, device, kind, stack)


class _Way(NamedTuple):
    layers: str
    kernel: str
    step: TrainingStep
    loss: TraceLoss | None  # of attention

    def make(self) -> None:
        if self.loss is not None:
            self.step.objective.parts["attention"] = self.loss
        self.step.make()

    def extra_mib(self, device: str) -> float:
        """Beside what `_resident_mib` counts."""
        self.step.updates.begin()
        return extra_mib(self.make, device)


def _measured(
    plan: Plan, batch: int, rounds: int, device: str, kind: Kind, stack: ExitStack
) -> list[dict[str, Any]]:
    chosen = (NONE, ALL) if device == CPU.name else (NONE, LAST, ALL)
    ways = [way for layers in chosen for way in _ways(plan, batch, device, kind, layers, stack)]
    facts = {**kind._asdict(), "device": device, "threads": torch.get_num_threads(), "batch": batch}
    extra: dict[int, float] = {}
    graphs = Counter[str]()
    problems: dict[int, str] = {}
    for number, way in enumerate(ways):
        before = counters["stats"]["unique_graphs"]
        try:
            for _ in range(WARM):
                way.make()
            extra[number] = _resident_mib(way.step) + way.extra_mib(device)
        except Exception as error:  # of a compiler, too: one way less, and not all of them
            problems[number] = problem_of(error)
        if number in problems:
            DEVICES[device].release()
        graphs[way.layers] += counters["stats"]["unique_graphs"] - before
    steps: list[Callable[[], None]] = [ways[number].make for number in extra]
    seconds, gib_s = interleaved_seconds(steps, rounds, device)
    taken = dict(zip(extra, seconds, strict=True))
    shapes = {way.layers: list(way.loss.shapes.values()) for way in ways if isinstance(way.loss, NaiveAmad)}
    dtype = PRECISIONS[kind.precision]
    seen = [shape for pairs in shapes.values() for shape in pairs]
    rates = Rates(gib_s, product_tflop_s(seen[0], dtype, device) if seen else np.inf)
    rows = []
    for number, way in enumerate(ways):
        pairs = shapes.get(way.layers, [])
        row = {**facts, "layers": way.layers, "kernel": way.kernel, "pairs": len(pairs)}
        row |= {"graphs": graphs[way.layers] if kind.compiled else None}
        if number in problems:
            rows.append(row | {"problem": problems[number]})
            continue
        least = sum(floor_ms(_KL, shape, dtype.itemsize, rates) for shape in pairs)
        compared = number > 0 and 0 in taken
        added = 1e3 * float(np.median(np.subtract(taken[number], taken[0]))) if compared else None
        rows.append(
            row
            | {
                "N": pairs[0].tokens if pairs else None,
                "heads": f"{pairs[0].teacher_heads} -> {pairs[0].student_heads}" if pairs else None,
                "rounds": rounds,
                "best_ms": 1e3 * min(taken[number]),
                **(times := percentiles_ms(taken[number])),
                "steps_s": 1e3 / times["p50_ms"],
                "added_ms": added,
                "added_share": float(np.median(np.divide(taken[number], taken[0]))) - 1 if compared else None,
                "peak_mib": extra[number],
                "memory_share": extra[number] / extra[0] - 1 if compared else None,
                "floor_ms": least if pairs else None,
                "over_floor": added / least if pairs and added is not None else None,
                "problem": None,
            }
        )
    return rows


def _ways(plan: Plan, batch: int, device: str, kind: Kind, layers: str, stack: ExitStack) -> Iterator[_Way]:
    """The ways of one model, whose steps differ in the loss alone."""
    attention = layers != NONE
    run = run_of(plan, kind.family, ATTENTION if attention else LOGITS, batch, LAYER_MAPS.get(layers))
    data = synthetic_data(run.config, data_facts(run.config), 2 * batch)
    micro = MicroBatch(None, batch, may_halve=False)
    place = DEVICES[device].place
    step = training_step(plan, run, data, place, kind.precision, micro, stack, kind.compiled)
    if not attention:
        yield _Way(layers, "", step, None)
        return
    sites, layer_map = run.config.loss.sites, LAYER_MAPS[layers]
    yield _Way(layers, NAIVE, step, NaiveAmad(sites, layer_map))
    options = kernel_options(ATTENTION, OPTIONS, device)
    if "query_rows" in LOSSES[ATTENTION].options:
        options[ROWS] = {**OPTIONS, "kernel": "dense", "query_rows": 128}
    build = partial(build_loss, ATTENTION, sites=sites, layer_map=layer_map)
    for kernel, chosen in options.items():
        yield _Way(layers, kernel, step, build(**chosen))


def _resident_mib(step: TrainingStep) -> float:
    """Weights of both models and the optimizer's numbers."""
    modules = [step.student, *([] if step.teacher is None else [step.teacher])]
    tensors = [tensor for module in modules for tensor in own_tensors(module).values()]
    return sum(tensor.nbytes for tensor in [*tensors, *step.updates.state().values()]) / 2**20
