"""One training: AdamW, warm-up and linear decay, gradient clipping, the best weights by validation."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from amad_bench.data.batches import make_batch, padding_share, training_order
from amad_bench.data.loader import batches
from amad_bench.data.task_data import TaskData
from amad_bench.losses.diagnostics import describe_alignment
from amad_bench.models.trace import Trace, record
from amad_bench.runtime.errors import RunFailed
from amad_bench.runtime.progress import progress
from amad_bench.scoring.decode import evaluating
from amad_bench.scoring.validation import token_accuracy_and_loss
from amad_bench.training.distill import Objective

LOG_EVERY = 20  # steps between two lines of the step log

# The exclusion list of the official VL-T5 code. T5 and BLIP's ViT name their norms otherwise: they decay.
NO_DECAY = ("bias", "LayerNorm.weight")


@dataclass(frozen=True)
class Trained:
    """What a training ends with; the model holds the weights of `best_step`."""

    best_step: int
    steps: int
    seconds: float


def train(
    model: nn.Module,
    objective: Objective,
    data: TaskData,
    options: dict[str, Any],
    seeds: dict[str, int],
    device: torch.device,
    log_path: Path,
    teacher_trace: Callable[[np.ndarray, dict[str, Tensor]], Trace] | None,
    description: str,
    workers: int = 0,
) -> Trained:
    """Trains `model` in place, with the parameters that `objective` has, and leaves the best weights in both.

    `options`: the canonical config's `training`. `teacher_trace` gets a batch's rows and the batch.
    `workers`: processes that read images; the result does not depend on it. The step log (JSON lines) holds
    every loss part unweighted, the share of padding, how heads are aligned, and every validation. Weights are
    chosen by the share of validation target tokens predicted right (teacher forcing), the earlier step on a
    tie. Raises RunFailed("diverged") when the loss is not finite.
    """
    started = time.perf_counter()
    steps = options["steps"]
    _materialise(objective, model, data, device, teacher_trace)
    optimizer = torch.optim.AdamW(
        _parameter_groups(model, objective, options["weight_decay"]),
        lr=options["learning_rate"],
        eps=1e-6,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _warm_up_then_decay(step, steps, options["warmup"])
    )
    evaluate_at = {round(steps * (k + 1) / options["evaluations"]) for k in range(options["evaluations"])}
    torch.manual_seed(seeds["dropout"])
    generator = np.random.default_rng(seeds["data_order"])
    order = training_order(data.train, options["batch"], steps, generator)
    loader = batches(data.train, data.images, order, device, workers)
    best_score, best_step, best_weights = -1.0, 0, ({}, {})
    alignment: dict[str, Tensor] = {}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    with (
        log_path.open("w", encoding="utf-8") as log,
        record(model, objective.sites, objective.needs_hidden) as recorder,
        progress(steps, description) as bar,
    ):
        for step, (rows, batch) in enumerate(loader, start=1):
            model.train()
            student = recorder.trace(model(**batch), labels=batch["labels"])
            teacher = teacher_trace(rows, batch) if teacher_trace else None
            epoch = 1 + (step - 1) * options["batch"] // len(data.train)
            total, parts = objective(teacher, student, epoch)
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            norm = nn.utils.clip_grad_norm_(parameters, options["clip"])
            rate = float(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
            if step % LOG_EVERY == 0 or step == 1 or step in evaluate_at:
                row = {
                    "step": step,
                    "learning_rate": rate,
                    "loss": total.item(),
                    "gradient_norm": norm.item(),
                }
                row |= {name: part.item() for name, part in parts.items()}
                _refuse_infinite(row)
                row |= {"padding_share": padding_share(batch)}
                row |= describe_alignment(objective.alignment, alignment)
                alignment = dict(objective.alignment)
                _write(log, row)
            if step in evaluate_at:
                accuracy, loss = token_accuracy_and_loss(
                    model, data.validation, data.images, device, workers=workers
                )
                _write(log, {"step": step, "validation_token_accuracy": accuracy, "validation_loss": loss})
                if accuracy > best_score:
                    best_score, best_step = accuracy, step
                    best_weights = (_copy(model), _copy(objective))
                bar.set_postfix_str(f"validation {accuracy:.3f}", refresh=False)
            bar.update()
    model.load_state_dict(best_weights[0])
    objective.load_state_dict(best_weights[1])
    return Trained(best_step, steps, time.perf_counter() - started)


def _materialise(
    objective: Objective,
    model: nn.Module,
    data: TaskData,
    device: torch.device,
    teacher_trace: Callable[[np.ndarray, dict[str, Tensor]], Trace] | None,
) -> None:
    """Parameters of the loss must be there before the optimizer is; their sizes are those of an example."""
    if teacher_trace is None:
        return
    rows = np.arange(min(2, len(data.train)))
    batch = make_batch(data.train, data.images, rows, device)
    with evaluating(model), torch.no_grad():
        with record(model, objective.sites, objective.needs_hidden) as recorder:
            student = recorder.trace(model(**batch), labels=batch["labels"])
        objective.materialise(teacher_trace(rows, batch), student)


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def _refuse_infinite(row: dict[str, Any]) -> None:
    if not all(math.isfinite(value) for value in row.values()):
        raise RunFailed("diverged", f"loss or gradient is not finite at step {row['step']}: {row}")


def _write(log: Any, row: dict[str, Any]) -> None:
    log.write(json.dumps(row) + "\n")
    log.flush()


def _warm_up_then_decay(step: int, steps: int, warmup: float) -> float:
    rising = warmup * steps
    if step < rising:
        return min(1.0, (step + 1) / rising)
    return max(0.0, (steps - step) / max(1.0, steps - rising))


def _parameter_groups(model: nn.Module, objective: Objective, weight_decay: float) -> list[dict[str, Any]]:
    named = [*model.named_parameters(), *objective.named_parameters()]
    kept = [p for name, p in named if not any(part in name for part in NO_DECAY)]
    free = [p for name, p in named if any(part in name for part in NO_DECAY)]
    return [{"params": kept, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
