"""What a student minimises: ce + alpha * logit_kd + beta * attention, every part known by name."""

from typing import Any

from torch import Tensor, nn

from amad_bench.losses import build_loss
from amad_bench.models.trace import Trace
from amad_bench.plan.catalogue import LOSSES


class Objective(nn.Module):
    """A run's weighted loss; `needs_teacher` says whether a teacher's trace has to be given.

    `loss`: that part of the canonical run config.
    """

    def __init__(self, loss: dict[str, Any]):
        super().__init__()
        record = LOSSES[loss["name"]]
        self.weights: dict[str, float] = loss["weights"]
        self.needs_teacher = record.base != "none"
        self.label = loss["label"]
        parts: dict[str, nn.Module] = {"ce": build_loss("ce")}
        if record.base == "ce":
            parts["logit_kd"] = build_loss(loss["name"], **loss["options"])
        elif record.base == "logit_kd":
            parts["logit_kd"] = build_loss("logit_kd", temperature=loss["logit_temperature"])
            parts["attention"] = build_loss(
                loss["name"], sites=loss["sites"], layer_map=loss["layer_map"], **loss["options"]
            )
        self.parts = nn.ModuleDict(parts)

    def forward(self, teacher: Trace | None, student: Trace) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum and the unweighted scalar parts."""
        parts: dict[str, Tensor] = {}
        for module in self.parts.values():
            parts.update(module(teacher, student))
        total = student.logits_BLV.new_zeros(())
        for name, part in parts.items():
            total = total + self.weights[name] * part
        return total, parts

    def __str__(self) -> str:
        names = {"attention": self.label}
        terms = [f"{weight:g} * {names.get(part, part)}" for part, weight in self.weights.items()]
        return "loss = " + " + ".join(terms)
