"""Parts of every training: AdamW, warm-up and decay, gradient clipping; and the best weights so far."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from amad_bench.models.weights import own_tensors
from amad_bench.plan.catalogue import SCHEDULES
from amad_bench.plan.config.training import Training
from amad_bench.plan.shown import unknown

# The exclusion list of the official VL-T5 code. T5 and BLIP's ViT name their norms otherwise: they decay. But
# T5's relative_attention_bias does not.
NO_DECAY = ("bias", "LayerNorm.weight")


@dataclass(frozen=True)
class Trained:
    """End of a training; the model holds the weights of `best_step`.

    seconds: in all processes that worked at it, those of validations included; continued: how often another
    one went on; extra_params: of the loss. micro_batch: of the last step, see `training.accumulation`; 0: not
    known. halved: whether memory ran out and it is smaller than was asked for. ranks: that trained it.
    """

    best_step: int
    steps: int
    seconds: float
    validation_seconds: float = 0.0
    continued: int = 0
    extra_params: int = 0
    micro_batch: int = 0
    halved: bool = False
    ranks: int = 1


class Updates:
    """AdamW on the trainable parameters of `modules`; options: the canonical config's `training`.

    rate: the learning rate of the latest step.
    """

    def __init__(self, modules: Sequence[nn.Module], options: Training) -> None:
        groups = parameter_groups(modules, options.weight_decay)
        self.parameters: list[nn.Parameter] = [p for group in groups for p in group["params"]]
        self.clip: float = options.clip
        self.rate = 0.0
        self._optimizer = torch.optim.AdamW(groups, lr=options.learning_rate, eps=1e-6, fused=True)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer,
            lambda step: rate_factor(options.schedule, step, options.steps, options.warmup),
        )

    def step(self, loss: Tensor) -> Tensor:
        """One step down the gradient of `loss`; returns the gradient's norm before clipping."""
        self.begin()
        loss.backward()
        return self.finish()

    def begin(self) -> None:
        """Forget the gradients: a step begins, to which summands of the loss add theirs."""
        self._optimizer.zero_grad(set_to_none=True)

    def finish(self) -> Tensor:
        """The step down the gradients there are; returns their norm before clipping."""
        norm = nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.rate = float(self._schedule.get_last_lr()[0])
        self._optimizer.step()
        self._schedule.step()
        return norm

    def state(self) -> dict[str, Tensor]:
        """Tensors that the optimizer has of each parameter, "number/name"."""
        known = self._optimizer.state_dict()["state"]
        return {f"{number}/{name}": value for number, own in known.items() for name, value in own.items()}

    def restore(self, state: Mapping[str, Tensor], step: int) -> None:
        """Go on with what `state` gave after so many steps."""
        known: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            number, name = key.split("/")
            known.setdefault(int(number), {})[name] = value
        self._optimizer.load_state_dict(self._optimizer.state_dict() | {"state": known})
        factors = [factor(step) for factor in self._schedule.lr_lambdas]
        rates = [rate * factor for rate, factor in zip(self._schedule.base_lrs, factors, strict=True)]
        self._schedule.load_state_dict(
            self._schedule.state_dict() | {"last_epoch": step, "_step_count": step + 1, "_last_lr": rates}
        )
        for group, rate in zip(self._optimizer.param_groups, rates, strict=True):
            group["lr"] = rate


def parameter_groups(modules: Sequence[nn.Module], weight_decay: float) -> list[dict[str, Any]]:
    """Parameters that decay and those that do not; frozen ones are in neither."""
    named = [pair for module in modules for pair in module.named_parameters() if pair[1].requires_grad]
    kept = [p for name, p in named if not any(part in name for part in NO_DECAY)]
    free = [p for name, p in named if any(part in name for part in NO_DECAY)]
    return [{"params": kept, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def rate_factor(schedule: str, step: int, steps: int, warmup: float) -> float:
    """The share of the learning rate at a step, counted from 0: up for `warmup` of the steps, then as the
    schedule has it. Raises ValueError for an unknown one.
    """
    if schedule not in SCHEDULES:
        raise ValueError(unknown("schedule", schedule, SCHEDULES))
    rising = warmup * steps
    if step < rising:
        return min(1.0, (step + 1) / rising)
    left = max(0.0, (steps - step) / max(1.0, steps - rising))
    return import_module(f"amad_bench.training.schedules.{schedule}").factor(left)


def evaluation_steps(options: Training) -> set[int]:
    """The steps, counted from 1, after which there is a validation; the last one always."""
    steps, evaluations = options.steps, options.evaluations
    return {round(steps * (k + 1) / evaluations) for k in range(evaluations)}


class BestWeights:
    """Copies of the weights with the highest score so far, the earlier ones on a tie; in the CPU's memory.

    step, score: theirs; 0 and -inf as long as there are none. states: of each module the tensors, once where
    they are tied.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.step, self.score = 0, -math.inf
        self.states: list[dict[str, Tensor]] = [{} for _ in modules]
        self._modules = modules

    def offer(self, score: float, step: int) -> None:
        if score > self.score:
            self.score, self.step = score, step
            for module, state in zip(self._modules, self.states, strict=True):
                for name, value in own_tensors(module).items():
                    if name in state:  # over the copy before: memory never holds two
                        state[name].copy_(value)
                    else:
                        state[name] = value.to("cpu", copy=True)

    def put_back(self, states: list[dict[str, Tensor]], step: int, score: float | None) -> None:
        """Go on with the copies of another process; score: None for none."""
        self.states, self.step, self.score = states, step, -math.inf if score is None else score

    def restore(self) -> None:
        for module, state in zip(self._modules, self.states, strict=True):
            module.load_state_dict(state, strict=False)  # tied names follow by themselves
