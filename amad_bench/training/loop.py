"""One training on a task: batches in a fixed order, each loss part logged, the best weights by validation."""

from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn

from amad_bench.data.tasks.batches import make_batch, training_order
from amad_bench.data.tasks.data import TaskData
from amad_bench.data.tasks.loader import batches
from amad_bench.losses.diagnostics import describe_alignment
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.run_config import RunConfig
from amad_bench.runtime.progress import progress
from amad_bench.runtime.ranks import here
from amad_bench.runtime.run_folder.steps import LOG_EVERY, StepLog
from amad_bench.scoring.decode import evaluating
from amad_bench.scoring.validation import token_accuracy_and_loss
from amad_bench.training.accumulation import MicroBatch, accumulated_step
from amad_bench.training.checkpoints import Checkpoints
from amad_bench.training.course import MODEL, Course
from amad_bench.training.distill import Objective
from amad_bench.training.optim import BestWeights, Trained, Updates, evaluation_steps
from amad_bench.training.parallel import ParallelStep, dropout_seed
from amad_bench.training.step import TrainStep, part_value, totals_of
from amad_bench.training.teacher_outputs import TeacherTrace


def train(
    model: nn.Module,
    objective: Objective,
    data: TaskData,
    config: RunConfig,
    device: torch.device,
    log_path: Path,
    description: str,
    teacher_trace: TeacherTrace | None = None,
    workers: int = 0,
    checkpoints: Checkpoints | None = None,
    micro: MicroBatch | None = None,
    compiled: bool = False,
) -> Trained:
    """Trains `model` in place, with the parameters that `objective` has, and leaves the best weights in both.

    `teacher_trace` gets a batch's rows and the batch.
    `workers`: processes that read images; the result does not depend on it. The step log (JSON lines) holds
    every loss part unweighted, the share of padding, how heads are aligned, and every validation. Weights are
    chosen by the share of validation target tokens predicted right (teacher forcing), the earlier step on a
    tie. `checkpoints`: it goes on from the latest, as if it had never stopped, and writes more. `micro`: how
    many examples are computed at once, all of a batch without it; it gets smaller where memory runs out.
    `compiled`: see `TrainStep`.
    Raises Diverged, with the best weights so far in both, when a part of the loss is not finite; Interrupted.
    """
    options, steps = config.training, config.training.steps
    micro = micro or MicroBatch(None, options.batch)
    _materialise(objective, model, data, device, teacher_trace, options.batch, micro.size)
    ranks = here()
    updates = Updates([model, objective], options)
    evaluate_at = evaluation_steps(options)
    torch.manual_seed(dropout_seed(config.seeds.dropout, ranks))
    generator = np.random.default_rng(config.seeds.data_order)
    # see `data.tasks.batches.draw_targets`; spawning leaves the order of the examples as it is
    drawn = FAMILIES[config.family].by_task[config.task].draws_answers
    answers = generator.spawn(1)[0] if drawn else None
    order = training_order(data.train, options.batch, steps, generator)
    best = BestWeights([model, objective])
    with (
        StepLog(log_path if ranks.first else None) as log,
        objective.record_student(model) as recorder,
        progress(steps, description, shown=ranks.first) as bar,
    ):
        course = Course(
            {MODEL: model, "loss": objective},
            updates,
            best,
            log,
            device,
            {} if answers is None else {"answers": answers},
            checkpoints=checkpoints,
            micro=micro,
            ranks=ranks,
        )
        done = course.resume()
        bar.update(done)
        left = islice(order, done, None)
        loader = batches(data.train, data.images, left, device, workers, answers, ranks.own)
        module = TrainStep(model, objective, recorder, teacher_trace, config.precision, compiled)
        one_step = ParallelStep(module, ranks)
        with course.watched(), closing(loader):
            for step, (rows, batch) in enumerate(loader, start=done + 1):
                model.train()
                epoch = 1 + (step - 1) * options.batch // len(data.train)
                totals = partial(totals_of, config, objective.sites, batch)
                value_of = part_value(one_step, rows, batch, epoch, totals)
                value, norm = accumulated_step(value_of, len(batch), micro, updates, device, one_step.part)
                logged = step % LOG_EVERY == 0 or step == 1 or step in evaluate_at
                value = one_step.whole(value, alignment=logged)
                course.look(step, value.total, norm, value.parts)
                if logged:
                    course.require_finite()
                    described = describe_alignment(value.alignment, course.alignment) or None
                    course.alignment = value.alignment
                    share = batch.padding_share
                    log.training(step, updates.rate, value.total, norm, value.parts, share, described)
                if step in evaluate_at:
                    with course.validation():
                        accuracy, loss = token_accuracy_and_loss(
                            model,
                            data.validation,
                            data.images,
                            device,
                            micro.size,
                            workers,
                            ranks,
                            config.precision,
                        )
                    recorder.forget()
                    log.validation(step, validation_token_accuracy=accuracy, validation_loss=loss)
                    best.offer(accuracy, step)
                    bar.set_postfix_str(f"validation {accuracy:.3f}", refresh=False)
                bar.step(step, value.total)
                course.after(step)
    return course.end(steps)


def _materialise(
    objective: Objective,
    model: nn.Module,
    data: TaskData,
    device: torch.device,
    teacher_trace: TeacherTrace | None,
    batch_size: int,
    examples: int,
) -> None:
    """Parameters of the loss must be there before the optimizer is; their sizes are those of an example.

    examples: as many of a batch as are computed at once, for which a compiled teacher is compiled. They are
    as wide as the batch: alone, the first one may have no target at all.
    """
    if teacher_trace is None:
        return
    rows = np.arange(min(batch_size, len(data.train)))
    batch = make_batch(data.train, data.images, rows, device).part(slice(0, examples))
    rows = rows[:examples]
    with evaluating(model), torch.no_grad():
        with objective.record_student(model) as recorder:
            student = recorder.trace(model(**batch.inputs, labels=batch.labels_BL), batch.labels_BL)
        objective.materialise(teacher_trace(rows, batch), student)
