"""Time that a step of each loss takes in a config's own shapes, beside one of `ce`."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from amad_bench.bench.measuring import interleaved_seconds, on_threads, percentiles_ms
from amad_bench.data.tasks.batches import training_order
from amad_bench.data.tasks.data import TaskData
from amad_bench.data.tasks.loader import batches
from amad_bench.data.tasks.prepare import load_task_data, prepare_task
from amad_bench.models.attention.recorder import record
from amad_bench.plan.catalogue import FAMILIES, model_shape
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.training.distill import Objective
from amad_bench.training.optim import Updates
from amad_bench.training.run_model import fresh_model
from amad_bench.training.teacher_outputs import (
    OnlineOutputs,
    StoredOutputs,
    TeacherTrace,
    Wanted,
    storable,
    stored_parts,
)

BATCHES = 8  # that the steps go round in: outputs of so many examples are stored
BASE = "ce"


def bench_steps(plan: Plan, threads: int, rounds: int) -> list[dict[str, Any]]:
    """One row per task entry's first setting and loss, with new models: a step's time is not its weights'.

    A step is that of a training on the CPU: its batch is made, the teacher's outputs are read from disk where
    the plan stores them, else computed, and weights are updated. Columns: family, task, loss, outputs
    (float32, online, or none), batch, p50_ms, p20_ms, p80_ms, over_ce: the median of a round's ratios to
    `ce`; threads. Every loss makes one step a round.
    """
    rows: list[dict[str, Any]] = []
    with on_threads(threads):
        for runs in _settings(plan):
            rows += [row | {"threads": threads} for row in _measure(plan, runs, rounds)]
    return rows


def _settings(plan: Plan) -> Iterator[list[Run]]:
    """Students of each task entry, of its first block, conditions and replicate."""
    students = [run for run in plan.runs if run.kind == "student"]
    for _, of_entry in groupby(students, key=lambda run: (run.config.family, run.config.task, run.data_key)):
        by_loss: dict[str, Run] = {}
        for run in of_entry:
            by_loss.setdefault(run.config.loss.label, run)
        yield list(by_loss.values())


def _measure(plan: Plan, runs: list[Run], rounds: int) -> list[dict[str, Any]]:
    config = runs[0].config
    prepare_task(config)
    data = load_task_data(config)
    data = replace(data, train=data.train.first(BATCHES * config.training.batch))
    with TemporaryDirectory() as folder, ExitStack() as recording:
        steps = [_step(plan, run, data, Path(folder), recording) for run in runs]
        for step in steps:
            step()  # a first call fills caches
        taken, _ = interleaved_seconds(steps, rounds, "cpu")
    base = next(
        (times for run, times in zip(runs, taken, strict=True) if run.config.loss.label == BASE), None
    )
    return [
        {
            "family": run.config.family,
            "task": run.config.task,
            "loss": run.config.loss.label,
            "outputs": (run.config.teacher and run.config.teacher.outputs) or "none",
            "batch": run.config.training.batch,
            **percentiles_ms(times),
            "over_ce": None if base is None else float(np.median(np.divide(times, base))),
        }
        for run, times in zip(runs, taken, strict=True)
    ]


def _step(plan: Plan, run: Run, data: TaskData, folder: Path, recording: ExitStack) -> Callable[[], None]:
    """A training step of a run, as `training.loop` makes them; recording: what ends with its recorder."""
    config, where = run.config, torch.device("cpu")
    torch.manual_seed(config.seeds.init)
    model, objective = fresh_model(config, data).train(), Objective(config.loss, config.seeds.init)
    taught = _taught(plan, run, data, objective, folder) if objective.needs_teacher else None
    record_student = record(
        model, objective.sites, objective.student_layers, objective.needs_hidden, objective.reads
    )
    recorder = recording.enter_context(record_student)
    order = training_order(data.train, config.training.batch, 10**9, np.random.default_rng(0))
    drawn = FAMILIES[config.family].by_task[config.task].draws_answers
    answers = np.random.default_rng(0) if drawn else None
    loader = batches(data.train, data.images, order, where, answer_generator=answers)
    updates: list[Updates] = []

    def step() -> None:
        rows, batch = next(loader)
        student = recorder.trace(model(**batch.inputs, labels=batch.labels_BL), batch.labels_BL)
        student.sample_weight_B = batch.sample_weight_B
        teacher = taught(rows, batch) if taught else None
        if not updates:
            objective.materialise(teacher, student)
            updates.append(Updates([model, objective], config.training))
        updates[0].step(objective(teacher, student).total)

    return step


def _taught(plan: Plan, run: Run, data: TaskData, objective: Objective, folder: Path) -> TeacherTrace:
    """A new teacher's outputs, in a folder that the losses of a setting share."""
    config, where = run.config, torch.device("cpu")
    if config.teacher is None or config.teacher.run_id is None:
        raise ValueError(f"{run.id}: a loss that reads a teacher, and no teacher")
    source = plan.run(config.teacher.run_id).config
    shapes = [model_shape(c.family, c.task, c.model, sites=objective.sites) for c in (config, source)]
    objective.choose_layers(*shapes)
    torch.manual_seed(source.seeds.init)
    teacher = fresh_model(source, data).eval().requires_grad_(False)
    if config.outputs_key is None or not storable(data.train):
        return OnlineOutputs(teacher, objective).trace
    wanted = Wanted.of(objective, shapes[1].layers)
    parts = stored_parts(
        folder / config.outputs_key, {}, wanted, lambda: teacher, data, where, config.training.batch
    )
    return StoredOutputs(parts, wanted, where).trace
