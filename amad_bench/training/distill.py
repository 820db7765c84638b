"""Objective of a run: ce + alpha * logit_kd + beta * attention, every part known by name."""

from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from torch import Tensor, nn

from amad_bench.losses import build_loss
from amad_bench.losses.weighted import WeightedLosses, mapped_layers
from amad_bench.models.attention.recorder import Layers, Recorder, record
from amad_bench.models.attention.trace import Trace
from amad_bench.plan.catalogue import LOSSES, ModelShape
from amad_bench.plan.run_config import UsedLoss
from amad_bench.runtime.errors import UserError


class ObjectiveValue(NamedTuple):
    """The sum that a step minimises, its unweighted scalar parts, and how its loss aligns heads, if it does.

    alignment: alignment_HG by "site/student layer".
    """

    total: Tensor
    parts: dict[str, Tensor]
    alignment: dict[str, Tensor]

    def detached(self) -> "ObjectiveValue":
        """The same numbers without gradient."""
        return ObjectiveValue(
            self.total.detach(),
            {name: part.detach() for name, part in self.parts.items()},
            {key: alignment_HG.detach() for key, alignment_HG in self.alignment.items()},
        )

    def plus(self, other: "ObjectiveValue") -> "ObjectiveValue":
        """The sum of what two parts of a batch give, name by name."""
        return ObjectiveValue(
            self.total + other.total,
            _added(self.parts, other.parts),
            _added(self.alignment, other.alignment),
        )


def _added(one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, Tensor]:
    return one | {name: one[name] + tensor if name in one else tensor for name, tensor in other.items()}


class Objective(WeightedLosses):
    """A run's weighted loss; `needs_teacher` says whether a teacher's trace has to be given.

    `seed`: the run's `init` seed, for what a loss draws once.
    `sites`, `needs_hidden`: what must be recorded of both models; `reads`: parts of a trace, as in the
    catalogue. `student_layers`, `teacher_layers`: those of its sites that are read, None: all; see
    `choose_layers`.
    """

    student_layers: Layers | None = None
    teacher_layers: Layers | None = None

    def __init__(self, loss: UsedLoss, seed: int = 0) -> None:
        record = LOSSES[loss.name]
        options: dict[str, Any] = {**loss.options, **({"seed": seed} if record.seeded else {})}
        layer_map = loss.layer_map or "last"
        parts = {"ce": build_loss("ce")}
        if record.base == "ce":
            parts["logit_kd"] = build_loss(loss.name, **options)
        elif record.base == "logit_kd":
            parts["logit_kd"] = build_loss("logit_kd", temperature=loss.logit_temperature)
            parts["attention"] = build_loss(loss.name, sites=loss.sites, layer_map=layer_map, **options)
        super().__init__(parts, loss.loss_weights, seed)
        self.needs_teacher = record.base != "none"
        self.sites = loss.sites
        self.needs_hidden = "hidden" in record.reads
        self.reads = frozenset(record.reads)
        self.layer_map = layer_map
        self._every_layer = record.every_layer
        self.label = loss.label

    def record_student(self, student: nn.Module) -> AbstractContextManager[Recorder]:
        """Records what this loss reads of a student; `output_weight` is the teacher's alone."""
        reads = self.reads - {"output_weight"}
        return record(student, self.sites, self.student_layers, self.needs_hidden, reads)

    def choose_layers(self, student: ModelShape, teacher: ModelShape) -> None:
        """From now on only the layers are recorded that the layer map pairs, or all where the loss reads all.

        UserError where the layer map names a layer that one of them does not have.
        """
        depths = {site: (student.layers[site], teacher.layers[site]) for site in self.sites}
        try:
            layers = mapped_layers(self.layer_map, depths, self._every_layer)
        except ValueError as error:
            raise UserError(f"loss {self.label} cannot be used here: {error}") from None
        self.student_layers, self.teacher_layers = layers

    def materialise(self, teacher: Trace | None, student: Trace) -> None:
        """Creates the trainable parameters that some losses have, the same ones for equal seeds.

        UserError where a loss cannot be used on maps of these sizes.
        """
        try:
            super().materialise(teacher, student)
        except ValueError as error:
            raise UserError(f"loss {self.label} cannot be used here: {error}") from None

    def forward(self, teacher: Trace | None, student: Trace, epoch: int = 1) -> ObjectiveValue:
        """The weighted sum and what it is made of; epoch: counted from 1."""
        parts: dict[str, Tensor] = {}
        alignment: dict[str, Tensor] = {}
        for found in self.outcomes(teacher, student).values():
            parts |= found.parts
            alignment |= found.alignment
        return ObjectiveValue(self.total(parts, epoch), parts, alignment)

    def __str__(self) -> str:
        names = {"attention": self.label}
        terms = [f"{weight:g} * {names.get(part, part)}" for part, weight in self.loss_weights.items()]
        return "loss = " + " + ".join(terms)
