"""What a student minimises: ce + alpha * logit_kd + beta * attention, every part known by name."""

from typing import Any

import torch
from torch import Tensor, nn

from amad_bench.losses import build_loss
from amad_bench.losses.base import AlignedMapLoss, TraceLoss
from amad_bench.models.attention.trace import Trace
from amad_bench.plan.catalogue import LOSSES
from amad_bench.runtime.errors import UserError


class Objective(nn.Module):
    """A run's weighted loss; `needs_teacher` says whether a teacher's trace has to be given.

    `loss`: that part of the canonical run config; `seed`: the run's `init` seed, for what a loss draws once.
    `sites`, `needs_hidden`: what must be recorded of both models.
    """

    def __init__(self, loss: dict[str, Any], seed: int = 0):
        super().__init__()
        record = LOSSES[loss["name"]]
        self.weights: dict[str, float] = loss["weights"]
        self.needs_teacher = record.base != "none"
        self.sites: list[str] = list(loss["sites"])
        self.needs_hidden = "hidden" in record.needs
        self.seed = seed
        self.label = loss["label"]
        parts: dict[str, TraceLoss] = {"ce": build_loss("ce")}
        if record.base == "ce":
            parts["logit_kd"] = build_loss(loss["name"], **loss["options"])
        elif record.base == "logit_kd":
            parts["logit_kd"] = build_loss("logit_kd", temperature=loss["logit_temperature"])
            drawn = {"seed": seed} if record.seeded else {}
            parts["attention"] = build_loss(
                loss["name"], sites=self.sites, layer_map=loss["layer_map"], **drawn, **loss["options"]
            )
        self.losses = parts  # typed; the same modules as `parts`
        self.parts = nn.ModuleDict(parts)

    def materialise(self, teacher: Trace | None, student: Trace) -> None:
        """Creates the trainable parameters that some losses have, the same ones for equal seeds.

        UserError where a loss cannot be used on maps of these sizes.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            try:
                for part in self.losses.values():
                    part.materialise(teacher, student)
            except ValueError as error:
                raise UserError(f"loss {self.label} cannot be used here: {error}") from None

    def forward(
        self, teacher: Trace | None, student: Trace, epoch: int = 1
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum and the unweighted scalar parts; epoch: counted from 1."""
        parts: dict[str, Tensor] = {}
        total = student.logits_BLV.new_zeros(())
        for name, module in self.losses.items():
            parts |= module(teacher, student)
            total = total + self.weights[name] * module.weight_factor(epoch) * parts[name]
        return total, parts

    @property
    def alignment(self) -> dict[str, Tensor]:
        """Of a loss that aligns heads, the latest alignment_HG by "site/student layer"; else nothing."""
        found = self.losses.get("attention")
        return found.alignment if isinstance(found, AlignedMapLoss) else {}

    def __str__(self) -> str:
        names = {"attention": self.label}
        terms = [f"{weight:g} * {names.get(part, part)}" for part, weight in self.weights.items()]
        return "loss = " + " + ".join(terms)
