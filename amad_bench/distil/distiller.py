"""`Distiller`: what a teacher says of a student's batch, beside any training loop's own loss."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from amad_bench.distil.models import labels_of, logits_of, shifts_labels, takes_targets, unwrapped
from amad_bench.losses import build_loss
from amad_bench.losses.base import LayerMap, LazyParameters, TraceLoss
from amad_bench.losses.weighted import WeightedLosses, mapped_layers
from amad_bench.models.attention.recorder import Layers, record, sites_of
from amad_bench.models.attention.trace import Trace
from amad_bench.plan.catalogue import LOSSES
from amad_bench.plan.shown import unknown
from amad_bench.runtime.errors import did_you_mean

Losses = str | Mapping[str, float | Mapping[str, Any]]


class Parts(dict[str, Tensor]):
    """Unweighted scalars by a loss's name, of one batch.

    total: their weighted sum. output: what the student gave back, with its logits and perhaps its own loss.
    alignment: of losses that align heads, by loss and "site/student layer" the alignment (teacher heads,
    student heads), detached.
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

    losses: one name, or a mapping of names to a weight, or to options and a `weight` (1). The names and
    options are those of `build_loss`. sites: None: all that both models have. layer_map: "last", "uniform" or
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
        self._models = teacher.eval(), student  # a tuple, so that they are no submodules
        options = _by_name(losses)
        records = [LOSSES[name] for name in options]
        self._reads = {part for record in records for part in record.reads} - {"logits"}
        self._reads_logits = any(not record.attention for record in records)
        self.sites = _common_sites(teacher, student, sites) if self._reads else ()
        self.layer_map = layer_map
        self.losses = WeightedLosses(
            {name: self._built(name, given, seed) for name, given in options.items()},
            {name: given["weight"] for name, given in options.items()},
            seed,
        )
        depths = {site: (_depth(student, site), _depth(teacher, site)) for site in self.sites}
        every_layer = any(record.every_layer for record in records)
        self._student_layers, self._teacher_layers = mapped_layers(layer_map, depths, every_layer)

    @property
    def teacher(self) -> nn.Module:
        return self._models[0]

    @property
    def student(self) -> nn.Module:
        return self._models[1]

    def forward(
        self,
        teacher_inputs: Mapping[str, Any],
        student_inputs: Mapping[str, Any] | None = None,
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
        output, learnt = self._pass("student", student or self.student, student_inputs)
        if self._lacking():
            self.losses.materialise(taught, learnt)
        found = self.losses.outcomes(taught, learnt)
        parts = {name: next(iter(one.parts.values())) for name, one in found.items()}
        alignment = {name: one.alignment for name, one in found.items() if one.alignment}
        return Parts(parts, self.losses.total(parts, epoch), output, alignment)

    @torch.no_grad()
    def materialise(
        self, teacher_inputs: Mapping[str, Any], student_inputs: Mapping[str, Any] | None = None
    ) -> None:
        """Creates the parameters of the losses, by a pass of both models without gradient.

        Equal seeds give equal parameters. Those that are there, or were loaded, stay.
        """
        if self._lacking():
            student_inputs = teacher_inputs if student_inputs is None else student_inputs
            taught = self._taught(teacher_inputs)
            _, learnt = self._pass("student", unwrapped(self.student), student_inputs)
            self.losses.materialise(taught, learnt)

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """Those of the losses. ValueError where a loss's have no sizes yet: an optimizer would miss them."""
        if self._lacking():
            names = ", ".join(name for name, loss in self.losses.losses() if _lacking(loss))
            raise ValueError(
                f"the parameters of {names} have no sizes yet: call materialise(teacher_inputs, student_inputs) "
                "once, or load a state_dict, before making the optimizer"
            )
        return super().named_parameters(*args, **kwargs)

    def extra_repr(self) -> str:
        models = ", ".join(type(unwrapped(model)).__name__ for model in self._models)
        return f"{models}, sites={list(self.sites)}, layer_map={self.layer_map!r}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Distiller":
        self.teacher._apply(fn)
        return super()._apply(fn, recurse)

    def _built(self, name: str, options: Mapping[str, Any], seed: int) -> TraceLoss:
        own = {option: value for option, value in options.items() if option != "weight"}
        if LOSSES[name].seeded:
            own["seed"] = seed
        return build_loss(name, sites=self.sites or None, layer_map=self.layer_map, **own)

    def _lacking(self) -> bool:
        return _lacking(self.losses)

    def _taught(self, inputs: Mapping[str, Any]) -> Trace:
        if self.teacher.training:  # somebody's train() reached it
            self.teacher.eval()
        if not takes_targets(unwrapped(self.teacher)) and "labels" in inputs:
            # its cross-entropy would be computed for nobody
            inputs = {name: value for name, value in inputs.items() if name != "labels"}
        with torch.no_grad():
            return self._pass("teacher", self.teacher, inputs)[1]

    def _pass(self, role: str, run: Callable[..., Any], inputs: Mapping[str, Any]) -> tuple[Any, Trace]:
        """A model's output, and what the losses read of the pass."""
        model = unwrapped(self.teacher if role == "teacher" else self.student)
        layers: Layers = self._teacher_layers if role == "teacher" else self._student_layers
        targets = inputs.get("labels") if takes_targets(model) else None
        trace = Trace(torch.empty(0, 0, 0), torch.empty(0, 0, dtype=torch.long))
        if not self.sites:
            output = run(**inputs)
        else:
            with record(model, self.sites, layers, "hidden" in self._reads, self._reads) as seen:
                output = run(**inputs)
                trace = seen.trace(output, targets)
        if self._reads_logits:
            trace.logits_BLV = logits_of(output, role)
            trace.labels_BL = labels_of(inputs, trace.logits_BLV, shifts_labels(model))
        return output, trace


def _lacking(losses: nn.Module) -> bool:
    """Whether there are losses whose parameters have no sizes yet."""
    return any(isinstance(module, LazyParameters) and not len(module) for module in losses.modules())


def _by_name(losses: Losses) -> dict[str, dict[str, Any]]:
    """Options by a loss's name. ValueError for an unknown name, and for a weight that is none."""
    given = {losses: {}} if isinstance(losses, str) else losses
    options = {
        name: dict(value) if isinstance(value, Mapping) else {"weight": value} for name, value in given.items()
    }
    if not options:
        raise ValueError("losses: none is given; name one, such as 'amad'")
    for name, of_loss in options.items():
        if name not in LOSSES:
            raise ValueError(unknown("loss", name, LOSSES))
        weight = of_loss.setdefault("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            raise ValueError(f"{name}.weight: expected a finite number, found {weight!r}")
    return options


def _common_sites(teacher: nn.Module, student: nn.Module, sites: Sequence[str] | None) -> tuple[str, ...]:
    """The sites, or all that both models have. ValueError for one that a model lacks, and where none is."""
    had = {role: sites_of(unwrapped(model)) for role, model in (("teacher", teacher), ("student", student))}
    if sites is None:
        if not (common := [site for site in had["student"] if site in had["teacher"]]):
            found = " and ".join(f"the {role} {', '.join(known) or 'none'}" for role, known in had.items())
            raise ValueError(f"teacher and student share no attention site: {found}")
        return tuple(common)
    if isinstance(sites, str) or not sites:
        raise ValueError(f"sites {sites!r}: expected a list of at least one site, or None for all")
    for site in sites:
        for role, known in had.items():
            if site not in known:
                raise ValueError(
                    f"the {role} has no attention site {site!r}; it has: {', '.join(known) or 'none'}."
                    f"{did_you_mean(site, known)}"
                )
    return tuple(sites)


def _depth(model: nn.Module, site: str) -> int:
    """Number of layers at a site."""
    with record(unwrapped(model), [site]) as seen:
        return seen.depth[site.partition(".")[0]]
