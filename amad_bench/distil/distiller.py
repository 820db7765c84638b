"""`Distiller`: a teacher's lessons on a batch, beside any training loop's own loss."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from amad_bench.distil.models import takes_targets, unwrapped
from amad_bench.distil.side import Side, common_sites
from amad_bench.losses import build_loss
from amad_bench.losses.base import LayerMap, TraceLoss
from amad_bench.losses.lazy_parameters import LazyParameters
from amad_bench.losses.weighted import WeightedLosses, mapped_layers
from amad_bench.models.attention.trace import Trace
from amad_bench.plan.catalogue import LOSSES
from amad_bench.plan.shown import unknown

Inputs = Mapping[str, Any]
Losses = str | Mapping[str, float | Mapping[str, Any]]


class Parts(dict[str, Tensor]):
    """Unweighted scalars by a loss's name, of one batch.

    total: their weighted sum. output: what the student gave back, with its logits and perhaps its own loss.
    alignment: of each loss that aligns heads, by "site/student layer", the alignment (teacher heads, student
    heads), detached.
    """

    def __init__(
        self,
        parts: Mapping[str, Tensor],
        total: Tensor,
        output: Any,
        alignment: Mapping[str, Mapping[str, Tensor]],
    ) -> None:
        super().__init__(parts)
        self.total, self.output, self.alignment = total, output, alignment


class Distiller(nn.Module):
    """parts = distiller(teacher_inputs, student_inputs): {a loss's name: unweighted scalar}; see `Parts`.

    losses: one name, or a mapping of names to a weight, or to options and a `weight` (1). Names and options
    are those of `build_loss`. sites: None: all that both models have. layer_map: "last", "uniform" or
    [[student layer, teacher layer], ...], counted from 0. seed: for what losses draw once.

    Both models are the caller's: neither is a submodule, so that parameters, state_dict and train() are those
    of the losses alone. The teacher is in evaluation mode from here on, and runs without gradient; it follows
    `.to(...)`, the student does not. Losses with parameters of their own (hidden_mse, tinybert, a2d, amad's
    variant projected) get them by `materialise`, or at the first call: before the optimizer is made.

    A student within DistributedDataParallel or torch.compile may be given as it is, or to each call. Of
    several processes each gives the means over its own part of a batch.

    ValueError, in one line: an unknown loss or option, a site or layer that a model lacks.
    """

    def __init__(
        self,
        teacher: nn.Module,
        student: nn.Module,
        losses: Losses,
        *,
        sites: Sequence[str] | None = None,
        layer_map: LayerMap = "last",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if unwrapped(teacher) is unwrapped(student):
            raise ValueError("teacher and student are one model; copy.deepcopy it for the teacher")
        options = _by_name(losses)
        records = [LOSSES[name] for name in options]
        reads = {part for record in records for part in record.reads} - {"logits"}
        self._reads_logits = any(not record.attention for record in records)
        self._teacher, self._student = Side("teacher", teacher.eval()), Side("student", student)
        self.sites = common_sites(self._teacher, self._student, sites) if reads else ()
        self.layer_map = layer_map
        self.losses = WeightedLosses(
            {name: self._built(name, given, seed) for name, given in options.items()},
            {name: given["weight"] for name, given in options.items()},
            seed,
        )
        depths = {site: (self._student.depths[site], self._teacher.depths[site]) for site in self.sites}
        every_layer = any(record.every_layer for record in records)
        of_student, of_teacher = mapped_layers(layer_map, depths, every_layer)
        if reads:
            self._student.watch(of_student, reads)
            self._teacher.watch(of_teacher, reads)

    @property
    def teacher(self) -> nn.Module:
        return self._teacher.given

    @property
    def student(self) -> nn.Module:
        return self._student.given

    def forward(
        self,
        teacher_inputs: Inputs,
        student_inputs: Inputs | None = None,
        *,
        epoch: int = 1,
        student: Callable[..., Any] | None = None,
    ) -> Parts:
        """Runs the teacher, then the student once, and compares them.

        Both are called with their inputs by name; without student_inputs the student gets the teacher's.
        epoch: counted from 1, for losses whose weight changes. student: what is called in the student's
        place: the same model as accelerate or DistributedDataParallel wrapped it, or a function around it
        that gives its output back.

        `labels` in the student's inputs say which tokens count for logit_kd; without them, attention masks.
        ValueError, in one line that names the site, for what cannot be compared.
        """
        student_inputs = teacher_inputs if student_inputs is None else student_inputs
        if "ce" in self.losses.loss_weights and student_inputs.get("labels") is None:
            raise ValueError("ce needs `labels` in the student's inputs; give them, or leave ce out")
        taught = self._taught(teacher_inputs)
        output, learnt = self._student.run(student_inputs, self._reads_logits, student)
        if _lacking(self.losses):
            self.losses.materialise(taught, learnt)
        found = self.losses.outcomes(taught, learnt)
        parts = {name: next(iter(one.parts.values())) for name, one in found.items()}
        alignment = {name: one.alignment for name, one in found.items() if one.alignment}
        return Parts(parts, self.losses.total(parts, epoch), output, alignment)

    @torch.no_grad()
    def materialise(self, teacher_inputs: Inputs, student_inputs: Inputs | None = None) -> None:
        """Creates the parameters of the losses, by a pass of both models without gradient.

        Equal seeds give equal parameters. Those that are there, or were loaded, stay.
        """
        if not _lacking(self.losses):
            return
        student_inputs = teacher_inputs if student_inputs is None else student_inputs
        taught = self._taught(teacher_inputs)
        _, learnt = self._student.run(student_inputs, self._reads_logits, self._student.model)
        self.losses.materialise(taught, learnt)

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """Those of the losses. ValueError where a loss's have no sizes yet: an optimizer would miss them."""
        if _lacking(self.losses):
            names = ", ".join(name for name, loss in self.losses.losses() if _lacking(loss))
            raise ValueError(
                f"the parameters of {names} have no sizes yet: before making the optimizer, call "
                "materialise(teacher_inputs, student_inputs) once, or load a state_dict"
            )
        return super().named_parameters(*args, **kwargs)

    def extra_repr(self) -> str:
        models = ", ".join(type(side.model).__name__ for side in (self._teacher, self._student))
        return f"{models}, sites={list(self.sites)}, layer_map={self.layer_map!r}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Distiller":
        self._teacher.move(fn)
        return super()._apply(fn, recurse)

    def _built(self, name: str, options: Mapping[str, Any], seed: int) -> TraceLoss:
        own = {option: value for option, value in options.items() if option != "weight"}
        if LOSSES[name].seeded:
            own["seed"] = seed
        return build_loss(name, sites=self.sites or None, layer_map=self.layer_map, **own)

    def _taught(self, inputs: Inputs) -> Trace:
        if self.teacher.training:  # somebody's train() reached it
            self.teacher.eval()
        if not takes_targets(self._teacher.model) and "labels" in inputs:
            # its cross-entropy would be computed for nobody
            inputs = {name: value for name, value in inputs.items() if name != "labels"}
        with torch.no_grad():
            return self._teacher.run(inputs, self._reads_logits)[1]


def _lacking(losses: nn.Module) -> bool:
    """Whether there are losses whose parameters have no sizes yet."""
    return any(isinstance(module, LazyParameters) and not len(module) for module in losses.modules())


def _by_name(losses: Losses) -> dict[str, dict[str, Any]]:
    """Options by a loss's name. ValueError for an unknown name, and for a weight that is none."""
    given: Mapping[str, float | Mapping[str, Any]] = {losses: {}} if isinstance(losses, str) else losses
    if not given:
        raise ValueError("losses: none is given; name one, such as 'amad'")
    if not isinstance(given, Mapping):
        raise ValueError(f"losses: expected a name or a mapping of names to weights, found {given!r}")
    options: dict[str, dict[str, Any]] = {}
    for name, value in given.items():
        if name not in LOSSES:
            raise ValueError(unknown("loss", name, LOSSES))
        options[name] = {"weight": 1.0} | (dict(value) if isinstance(value, Mapping) else {"weight": value})
        weight = options[name]["weight"]
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            raise ValueError(f"{name}.weight: expected a finite number, found {weight!r}")
    return options
