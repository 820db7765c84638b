"""One pre-training: a family's objectives for a condition in their mix, the best weights by validation."""

from collections.abc import Callable
from contextlib import closing
from math import ceil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from amad_bench.data.batch import PretrainingBatch
from amad_bench.data.prefetch import Made
from amad_bench.data.pretraining.batches import pretraining_batches
from amad_bench.data.pretraining.data import PretrainingData
from amad_bench.data.pretraining.split import PretrainingSplit
from amad_bench.data.tasks.batches import BatchOrder
from amad_bench.models.build import build_model
from amad_bench.models.family import implementation_of
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.run_config import RunConfig
from amad_bench.runtime.precision import Precision, forward_pass
from amad_bench.runtime.progress import progress
from amad_bench.runtime.run_folder.steps import LOG_EVERY, StepLog
from amad_bench.scoring.decode import evaluating
from amad_bench.training.accumulation import MicroBatch, accumulated_step
from amad_bench.training.checkpoints import Checkpoints
from amad_bench.training.course import MODEL, Course
from amad_bench.training.distill import ObjectiveValue
from amad_bench.training.optim import BestWeights, Trained, Updates, evaluation_steps


def fresh_pretrainer(config: RunConfig, data: PretrainingData) -> nn.Module:
    """The model of a pre-training run's config, with its objectives and random weights."""
    longest = max(data.train.longest, data.validation.longest) + 1
    positions = implementation_of(FAMILIES[config.family]).positions(config, longest)
    return build_model(config, data.tokenizer, positions, data.images.feature_size)


def first_batch(data: PretrainingData, config: RunConfig, device: torch.device) -> PretrainingBatch:
    """A batch as training has them, of fixed examples; contrast needs two images among the first two."""
    generator = np.random.default_rng(0)
    order = _order(data.train, config, generator)
    with closing(_batches(order, 1, data.train, data, config, generator, device)) as loader:
        return next(loader).two_images_first()


def pretrain(
    model: nn.Module,
    data: PretrainingData,
    config: RunConfig,
    device: torch.device,
    log_path: Path,
    description: str,
    checkpoints: Checkpoints | None = None,
    micro: MicroBatch | None = None,
) -> Trained:
    """Trains `model`, whose forward pass gives (loss, {objective: scalar}); leaves its best weights in it.

    The step log (JSON lines) holds every objective of a step's batch and every validation. Weights are chosen
    by the loss on the validation examples, masked and mixed in one way at every validation, the earlier step
    on a tie. `checkpoints`: it goes on from the latest, as if it had never stopped, and writes more.
    `micro`: see `train`; a model without `shares`, whose samples depend on each other, gets whole batches.
    Raises Diverged when a loss is not finite, with the best weights so far in the model, and Interrupted.
    """
    options, seeds = config.training, config.seeds
    steps = options.steps
    micro = micro or MicroBatch(None, options.batch)
    if not hasattr(model, "shares"):
        micro.keep_whole(f"{description}: pre-training by contrast compares all examples of a batch")
    updates = Updates([model], options)
    evaluate_at = evaluation_steps(options)
    torch.manual_seed(seeds.dropout)
    generator = np.random.default_rng(seeds.data_order)
    order = _order(data.train, config, generator)
    best = BestWeights([model])
    with StepLog(log_path) as log, progress(steps, description) as bar:
        course = Course(
            {MODEL: model},
            updates,
            best,
            log,
            device,
            {"all": generator},
            order,
            checkpoints=checkpoints,
            micro=micro,
        )
        done = course.resume()
        bar.update(done)
        loader = _batches(order, steps - done, data.train, data, config, generator, device)
        with course.watched(), closing(loader):
            for step, batch in enumerate(loader, start=done + 1):
                model.train()
                value_of = _part_value(model, batch, config.precision)
                (loss, parts, _), norm = accumulated_step(value_of, len(batch), micro, updates, device)
                course.look(step, loss, norm, parts)
                if step % LOG_EVERY == 0 or step == 1 or step in evaluate_at:
                    course.require_finite()
                    log.training(step, updates.rate, loss, norm, parts)
                if step in evaluate_at:
                    with course.validation():
                        mean = validation_loss(model, data, config, device, micro)
                    log.validation(step, validation_loss=mean)
                    best.offer(-mean, step)
                    bar.set_postfix_str(f"validation {mean:.3f}", refresh=False)
                bar.step(step, loss)
                course.after(step)
    return course.end(steps)


def _part_value(
    model: nn.Module, batch: PretrainingBatch, precision: Precision
) -> Callable[[slice], ObjectiveValue]:
    """A function that gives the summand of a part of a batch."""

    def value_of(part: slice) -> ObjectiveValue:
        loss, parts = _losses(model, batch, precision, part)
        if (part.start, part.stop) == (0, len(batch)):
            return ObjectiveValue(loss, parts, {})
        share, shares = model.shares(batch.host, part)  # pyright: ignore[reportCallIssue]
        return ObjectiveValue(loss * share, {name: parts[name] * shares[name] for name in parts}, {})

    return value_of


def _losses(
    model: nn.Module, batch: PretrainingBatch, precision: Precision, part: slice = slice(None)
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss and the scalars of a part of a batch."""
    on_host = {name: batch.host[name] for name in getattr(model, "on_host", ())}
    arguments = {name: tensor[part] for name, tensor in (batch.arguments | on_host).items()}
    with forward_pass(precision, batch.arguments["input_ids"].device):
        return model(**arguments)


def _order(split: PretrainingSplit, config: RunConfig, generator: np.random.Generator) -> BatchOrder:
    """Order of the instances of all tasks: every one comes once before any comes again."""
    instances = split.instances(config.family, config.pretraining)
    return BatchOrder(instances, config.training.batch, generator)


def _batches(
    order: BatchOrder,
    steps: int,
    split: PretrainingSplit,
    data: PretrainingData,
    config: RunConfig,
    generator: np.random.Generator,
    device: torch.device,
) -> Made[PretrainingBatch]:
    make = implementation_of(FAMILIES[config.family]).batch_maker(split, data, config.pretraining)
    return pretraining_batches(make, order, steps, generator, device)


def validation_loss(
    model: nn.Module,
    data: PretrainingData,
    config: RunConfig,
    device: torch.device,
    micro: MicroBatch | None = None,
) -> float:
    """The mean loss over validation batches that are the same at every call; no random state is changed.

    micro: instances that are computed at once.
    """
    micro = micro or MicroBatch(None, config.training.batch)
    split, generator = data.validation, np.random.default_rng([config.seeds.data_order, 1])
    steps = ceil(split.instances(config.family, config.pretraining) / config.training.batch)
    loader = _batches(_order(split, config, generator), steps, split, data, config, generator, device)
    with evaluating(model), torch.no_grad(), closing(loader):
        losses = [_loss(model, instances, micro, config.precision) for instances in loader]
    return torch.stack(losses).mean().item()


def _loss(model: nn.Module, batch: PretrainingBatch, micro: MicroBatch, precision: Precision) -> Tensor:
    value_of = _part_value(model, batch, precision)
    return torch.stack([value_of(part).total for part in micro.parts(len(batch))]).sum()
