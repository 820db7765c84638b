"""A step of a run's training whose teacher runs for each batch, as `training.loop` makes them."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from amad_bench.data.tasks.batches import training_order
from amad_bench.data.tasks.data import TaskData
from amad_bench.data.tasks.loader import batches
from amad_bench.plan.catalogue import model_shape
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.plan.run_config import RunConfig
from amad_bench.runtime.precision import Precision
from amad_bench.training.accumulation import MicroBatch, accumulated_step
from amad_bench.training.distill import Objective
from amad_bench.training.optim import Updates
from amad_bench.training.run_model import fresh_model
from amad_bench.training.step import TrainStep, part_value, totals_of
from amad_bench.training.teacher_outputs import OnlineOutputs


class TrainingStep(NamedTuple):
    """make: makes one step. teacher: None for a loss without one."""

    make: Callable[[], None]
    student: nn.Module
    teacher: nn.Module | None
    objective: Objective
    updates: Updates


def teacher_of(plan: Plan, run: Run) -> RunConfig | None:
    """The config of a student's teacher."""
    taught = run.config.teacher
    return None if taught is None or taught.run_id is None else plan.run(taught.run_id).config


def training_step(
    plan: Plan,
    run: Run,
    data: TaskData,
    where: torch.device,
    precision: Precision,
    micro: MicroBatch,
    stack: ExitStack,
    compiled: bool = False,
) -> TrainingStep:
    """New models with random weights; stack: what ends with their loader and recorders."""
    config = run.config
    torch.manual_seed(config.seeds.init)
    model = fresh_model(config, data).to(where).train()
    objective = Objective(config.loss, config.seeds.init)
    teacher = _teacher(plan, run, data, objective).to(where) if objective.needs_teacher else None
    taught = None if teacher is None else OnlineOutputs(teacher, objective, precision, compiled).trace
    recorder = stack.enter_context(objective.record_student(model))
    order = training_order(data.train, config.training.batch, 10**9, np.random.default_rng(0))
    loader = batches(data.train, data.images, order, where)
    stack.callback(loader.close)
    one_step = TrainStep(model, objective, recorder, taught, precision, compiled)
    updates = Updates([model, objective], config.training)

    def make() -> None:
        rows, batch = next(loader)
        totals = partial(totals_of, config, objective.sites, batch)
        accumulated_step(part_value(one_step, rows, batch, 1, totals), len(batch), micro, updates, where)

    return TrainingStep(make, model, teacher, objective, updates)


def _teacher(plan: Plan, run: Run, data: TaskData, objective: Objective) -> nn.Module:
    """A new one, frozen; the objective knows from now on which layers are read."""
    config, source = run.config, teacher_of(plan, run)
    if source is None:
        raise ValueError(f"{run.id}: a loss that reads a teacher, and no teacher")
    objective.choose_layers(
        *(model_shape(c.family, c.task, c.model, sites=objective.sites) for c in (config, source))
    )
    torch.manual_seed(source.seeds.init)
    return fresh_model(source, data).eval().requires_grad_(False)
