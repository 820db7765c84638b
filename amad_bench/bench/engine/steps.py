"""A training step of the large models of a config, on random examples of its shapes."""

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from amad_bench.bench.engine.synthetic import synthetic_data
from amad_bench.bench.measuring import interleaved_seconds, percentiles_ms
from amad_bench.data.tasks.batches import training_order
from amad_bench.data.tasks.data import TaskData
from amad_bench.data.tasks.loader import batches
from amad_bench.models.attention.recorder import record
from amad_bench.plan.catalogue import model_shape
from amad_bench.plan.cost.data_facts import data_facts
from amad_bench.plan.cost.run_cost import BACKWARD, pass_cost
from amad_bench.plan.cost.speeds import peak_rate
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.plan.run_config import RunConfig
from amad_bench.runtime.devices import DEVICES, Accelerator, out_of_memory
from amad_bench.runtime.precision import Precision
from amad_bench.training.accumulation import MicroBatch, accumulated_step
from amad_bench.training.distill import Objective
from amad_bench.training.optim import Updates
from amad_bench.training.run_model import fresh_model
from amad_bench.training.step import TrainStep, part_value, totals_of
from amad_bench.training.teacher_outputs import OnlineOutputs, TeacherTrace

LOSSES = ("ce", "logit_kd", "amad_kl")
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
WARM = 2  # steps that nobody counts: memory is found to be too little, kernels are chosen
ROUNDS = 3


def bench_engine_steps(
    plan: Plan, device: str, losses: Sequence[str] = LOSSES, rounds: int = ROUNDS
) -> Iterator[dict[str, Any]]:
    """One row per family, loss and precision: a student with the teacher's depth and fewer heads, if any.

    A step is that of a training whose teacher runs for each batch, at the config's batch and the largest
    micro-batch that fits, by halves. Columns: family, task, loss, precision, heads, batch, micro_batch;
    p50_ms, p20_ms, p80_ms of a step; examples_s; tflop_s by the shapes, backward passes as two forward ones;
    mfu: its share of what the GPU's maker states, None for an unknown one; idle: share of a step's time in
    which the GPU computed nothing, None on a CPU; peak_mib. Where not even one example fits, micro_batch is 0
    and nothing is measured.
    """
    for runs in chosen(plan, losses):
        for precision in PRECISIONS:
            for run in runs:
                yield _row(plan, run, device, precision, rounds)


def chosen(plan: Plan, losses: Sequence[str]) -> Iterator[list[Run]]:
    """Students of each family's first task, of one setting, one for each loss."""
    for family in dict.fromkeys(run.config.family for run in plan.runs):
        students = [run for run in plan.runs if run.kind == "student" and run.config.family == family]
        taught = [run for run in students if run.config.teacher is not None]
        first = min(taught or students, key=lambda run: _unlike(plan, run))
        alike = [run for run in students if _same_model(run.config, first.config)]
        by_loss = {run.config.loss.label: run for run in reversed(alike)}
        yield [by_loss[label] for label in losses if label in by_loss]


def _unlike(plan: Plan, run: Run) -> tuple[bool, bool]:
    """Sorts students of the teacher's depth first, of them those with fewer heads."""
    teacher, own = _teacher(plan, run), run.config.model
    if teacher is None:
        return True, True
    return own.layers != teacher.model.layers, own.heads >= teacher.model.heads


def _same_model(first: RunConfig, second: RunConfig) -> bool:
    return (first.task, first.model, first.dataset.name) == (second.task, second.model, second.dataset.name)


def _teacher(plan: Plan, run: Run) -> RunConfig | None:
    taught = run.config.teacher
    return None if taught is None or taught.run_id is None else plan.run(taught.run_id).config


def _row(plan: Plan, run: Run, device: str, precision: Precision, rounds: int) -> dict[str, Any]:
    config, teacher = run.config, _teacher(plan, run)
    row = {
        "family": config.family,
        "task": config.task,
        "loss": config.loss.label,
        "precision": precision,
        "heads": f"{'' if teacher is None else f'{teacher.model.heads} -> '}{config.model.heads}",
        "batch": config.training.batch,
    }
    try:
        measured = _measured(plan, run, device, precision, rounds)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return row | {"micro_batch": 0}
    examples_s = 1e3 * config.training.batch / measured["p50_ms"]
    rate, peak = examples_s * _operations(config, teacher), peak_rate(DEVICES[device].hardware(), precision)
    speed = {
        "examples_s": examples_s,
        "tflop_s": rate / 1e12,
        "mfu": None if peak is None else rate / peak,
    }
    return row | measured | speed


def _operations(config: RunConfig, teacher: RunConfig | None) -> float:
    """Operations of an example in a step, as far as the families say."""
    facts = data_facts(config)
    own = pass_cost(config, facts)
    taught = None if teacher is None else pass_cost(teacher, facts)
    return (1 + BACKWARD) * (0 if own is None else own.forward) + (0 if taught is None else taught.forward)


def _measured(plan: Plan, run: Run, device: str, precision: Precision, rounds: int) -> dict[str, Any]:
    config, used = run.config, DEVICES[device]
    data = synthetic_data(config, data_facts(config), 2 * config.training.batch)
    micro = MicroBatch(None, config.training.batch)
    gc.collect()  # the last row's model, which a circle may hold
    used.release()
    with ExitStack() as stack:
        step = _step(plan, run, data, used.place, precision, micro, stack)
        for _ in range(WARM):
            step()
        if isinstance(used, Accelerator):
            used.reset_peak()  # of steps that did not fit
        [seconds], _ = interleaved_seconds([step], rounds, device)
        idle = _idle(step) if isinstance(used, Accelerator) else None
        peak_mib = used.peak_mib()
    return {
        "micro_batch": micro.size,
        **percentiles_ms(seconds),
        "idle": idle,
        "peak_mib": peak_mib,
    }


def _step(
    plan: Plan,
    run: Run,
    data: TaskData,
    where: torch.device,
    precision: Precision,
    micro: MicroBatch,
    stack: ExitStack,
) -> Callable[[], None]:
    """A training step as `training.loop` makes them; stack: what ends with its loader and recorder."""
    config = run.config
    torch.manual_seed(config.seeds.init)
    model = fresh_model(config, data).to(where).train()
    objective = Objective(config.loss, config.seeds.init)
    taught = _taught(plan, run, data, objective, where, precision) if objective.needs_teacher else None
    recorder = stack.enter_context(
        record(model, objective.sites, objective.student_layers, objective.needs_hidden, objective.reads)
    )
    order = training_order(data.train, config.training.batch, 10**9, np.random.default_rng(0))
    loader = batches(data.train, data.images, order, where)
    stack.callback(loader.close)
    one_step = TrainStep(model, objective, recorder, taught, precision)
    updates = Updates([model, objective], config.training)

    def step() -> None:
        rows, batch = next(loader)
        totals = partial(totals_of, config, objective.sites, batch)
        accumulated_step(part_value(one_step, rows, batch, 1, totals), len(batch), micro, updates, where)

    return step


def _taught(
    plan: Plan,
    run: Run,
    data: TaskData,
    objective: Objective,
    where: torch.device,
    precision: Precision,
) -> TeacherTrace:
    source = _teacher(plan, run)
    if source is None:
        raise ValueError(f"{run.id}: a loss that reads a teacher, and no teacher")
    config = run.config
    objective.choose_layers(
        *(model_shape(c.family, c.task, c.model, sites=objective.sites) for c in (config, source))
    )
    torch.manual_seed(source.seeds.init)
    teacher: nn.Module = fresh_model(source, data).to(where).eval().requires_grad_(False)
    return OnlineOutputs(teacher, objective, precision).trace


def _idle(step: Callable[[], None]) -> float:
    """Share of a step's time in which no kernel ran, by torch's profiler."""
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begun.record()
        step()
        ended.record()
        torch.cuda.synchronize()
    spans = [
        (event.time_range.start, event.time_range.end)
        for event in profiler.events() or []
        if event.device_type == DeviceType.CUDA
    ]
    return 1 - covered(spans) / (1e3 * begun.elapsed_time(ended))


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Length of what spans of time, which may overlap, cover together."""
    total, until = 0.0, -np.inf
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total
