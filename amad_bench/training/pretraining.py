"""One pre-training: a family's objectives for a condition in their mix, the best weights by validation."""

import time
from collections.abc import Iterator
from math import ceil
from pathlib import Path

import numpy as np
import torch
from torch import nn

from amad_bench.data.batch import PretrainingBatch
from amad_bench.data.pretraining.batches import pretraining_batches
from amad_bench.data.pretraining.data import PretrainingData
from amad_bench.data.pretraining.split import PretrainingSplit
from amad_bench.models.build import build_model
from amad_bench.models.family import implementation_of
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.run_config import RunConfig
from amad_bench.runtime.progress import progress
from amad_bench.runtime.run_folder.steps import LOG_EVERY, StepLog
from amad_bench.scoring.decode import evaluating
from amad_bench.training.optim import BestWeights, Trained, Updates, evaluation_steps


def fresh_pretrainer(config: RunConfig, data: PretrainingData) -> nn.Module:
    """The model of a pre-training run's config, with its objectives and random weights."""
    longest = max(data.train.longest, data.validation.longest) + 1
    positions = implementation_of(FAMILIES[config.family]).positions(config, longest)
    return build_model(config, data.tokenizer, positions, data.images.feature_size)


def first_batch(data: PretrainingData, config: RunConfig, device: torch.device) -> PretrainingBatch:
    """A batch as training has them, of fixed examples; contrast needs two images among the first two."""
    loader = _batches(data.train, data, config, 1, np.random.default_rng(0), device)
    return next(loader).two_images_first()


def pretrain(
    model: nn.Module,
    data: PretrainingData,
    config: RunConfig,
    device: torch.device,
    log_path: Path,
    description: str,
) -> Trained:
    """Trains `model`, whose forward pass gives (loss, {objective: scalar}); leaves its best weights in it.

    The step log (JSON lines) holds every objective of a step's batch and every validation. Weights are chosen
    by the loss on the validation examples, masked and mixed in one way at every validation, the earlier step
    on a tie. Raises RunFailed("diverged") when a loss is not finite.
    """
    started, validating = time.perf_counter(), 0.0
    options, seeds = config.training, config.seeds
    steps = options.steps
    updates = Updates([model], options)
    evaluate_at = evaluation_steps(options)
    torch.manual_seed(seeds.dropout)
    generator = np.random.default_rng(seeds.data_order)
    best = BestWeights([model])
    with StepLog(log_path) as log, progress(steps, description) as bar:
        loader = _batches(data.train, data, config, steps, generator, device)
        for step, batch in enumerate(loader, start=1):
            model.train()
            loss, parts = model(**batch.arguments)
            norm = updates.step(loss)
            if step % LOG_EVERY == 0 or step == 1 or step in evaluate_at:
                log.training(step, updates.rate, loss, norm, parts)
            if step in evaluate_at:
                before = time.perf_counter()
                mean = validation_loss(model, data, config, device)
                log.validation(step, validation_loss=mean)
                best.offer(-mean, step)
                validating += time.perf_counter() - before
                bar.set_postfix_str(f"validation {mean:.3f}", refresh=False)
            bar.update()
    best.restore()
    return Trained(best.step, steps, time.perf_counter() - started, validating)


def _batches(
    split: PretrainingSplit,
    data: PretrainingData,
    config: RunConfig,
    steps: int,
    generator: np.random.Generator,
    device: torch.device,
) -> Iterator[PretrainingBatch]:
    family, condition = config.family, config.pretraining
    make = implementation_of(FAMILIES[family]).batch_maker(split, data, condition)
    instances = split.instances(family, condition)
    return pretraining_batches(make, instances, config.training.batch, steps, generator, device)


def validation_loss(
    model: nn.Module, data: PretrainingData, config: RunConfig, device: torch.device
) -> float:
    """The mean loss over validation batches that are the same at every call; no random state is changed."""
    family, condition, batch = config.family, config.pretraining, config.training.batch
    steps = ceil(data.validation.instances(family, condition) / batch)
    generator = np.random.default_rng([config.seeds.data_order, 1])
    loader = _batches(data.validation, data, config, steps, generator, device)
    with evaluating(model), torch.no_grad():
        losses = [model(**instances.arguments)[0] for instances in loader]
    return torch.stack(losses).mean().item()
