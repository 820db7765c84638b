"""Objective of a run: ce + alpha * logit_kd + beta * attention, every part known by name."""

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from amad_bench.losses import build_loss
from amad_bench.models.attention.trace import Trace
from amad_bench.plan.catalogue import LOSSES
from amad_bench.plan.run_config import UsedLoss
from amad_bench.runtime.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amad_bench.losses.base import TraceLoss


class ObjectiveValue(NamedTuple):
    """The sum that a step minimises, its unweighted scalar parts, and how its loss aligns heads, if it does.

    alignment: alignment_HG by "site/student layer".
    """

    total: Tensor
    parts: dict[str, Tensor]
    alignment: dict[str, Tensor]


class Objective(nn.Module):
    """A run's weighted loss; `needs_teacher` says whether a teacher's trace has to be given.

    `seed`: the run's `init` seed, for what a loss draws once.
    `sites`, `needs_hidden`: what must be recorded of both models.
    """

    def __init__(self, loss: UsedLoss, seed: int = 0) -> None:
        super().__init__()
        record = LOSSES[loss.name]
        self.loss_weights = loss.loss_weights
        self.needs_teacher = record.base != "none"
        self.sites = loss.sites
        self.needs_hidden = "hidden" in record.reads
        self.seed = seed
        self.label = loss.label
        options: dict[str, Any] = {**loss.options, **({"seed": seed} if record.seeded else {})}
        parts = {"ce": build_loss("ce")}
        if record.base == "ce":
            parts["logit_kd"] = build_loss(loss.name, **options)
        elif record.base == "logit_kd":
            parts["logit_kd"] = build_loss("logit_kd", temperature=loss.logit_temperature)
            layer_map = loss.layer_map or "last"
            parts["attention"] = build_loss(loss.name, sites=self.sites, layer_map=layer_map, **options)
        self.parts = nn.ModuleDict(parts)

    def materialise(self, teacher: Trace | None, student: Trace) -> None:
        """Creates the trainable parameters that some losses have, the same ones for equal seeds.

        UserError where a loss cannot be used on maps of these sizes.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            try:
                for _, part in self._losses():
                    part.materialise(teacher, student)
            except ValueError as error:
                raise UserError(f"loss {self.label} cannot be used here: {error}") from None

    def forward(self, teacher: Trace | None, student: Trace, epoch: int = 1) -> ObjectiveValue:
        """The weighted sum and what it is made of; epoch: counted from 1."""
        parts: dict[str, Tensor] = {}
        alignment: dict[str, Tensor] = {}
        total = student.logits_BLV.new_zeros(())
        for name, module in self._losses():
            found = module.outcome(teacher, student)
            parts |= found.parts
            alignment |= found.alignment
            total = total + self.loss_weights[name] * module.weight_factor(epoch) * parts[name]
        return ObjectiveValue(total, parts, alignment)

    def _losses(self) -> "Iterator[tuple[str, TraceLoss]]":
        return cast("Iterator[tuple[str, TraceLoss]]", iter(self.parts.items()))

    def __str__(self) -> str:
        names = {"attention": self.label}
        terms = [f"{weight:g} * {names.get(part, part)}" for part, weight in self.loss_weights.items()]
        return "loss = " + " + ".join(terms)
