"""One of the two models that a Distiller compares, and what is read of its passes."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from amad_bench.distil.models import labels_of, logits_of, shifts_labels, takes_targets, unwrapped
from amad_bench.losses.base import naming
from amad_bench.models.attention.recorder import Layers, Recorder
from amad_bench.models.attention.sites import find_layers
from amad_bench.models.attention.trace import Trace


class Side:
    """A model in its role, "teacher" or "student". depths: its numbers of layers, by site."""

    def __init__(self, role: str, given: nn.Module) -> None:
        self.role, self.given, self.model = role, given, unwrapped(given)
        self.depths: dict[str, int] = {}
        self._recorder: Recorder | None = None

    def find(self, sites: Sequence[str] | None) -> None:
        """Looks for its attention. ValueError where there is none, or none of these sites, that is known."""
        with naming(f"the {self.role}"):
            found = find_layers(self.model, sites)
        self.depths = {site: len(layers) for site, layers in found.items()}

    def watch(self, layers: Layers, reads: Collection[str]) -> None:
        """From now on these layers are recorded, by site."""
        # Open during a pass alone: others are not recorded. To find layers each time would take 10 to 30 ms.
        self._recorder = Recorder(self.model, list(layers), layers, "hidden" in reads, reads)
        self._recorder.close()

    def run(
        self, inputs: Mapping[str, Any], logits: bool, call: Callable[..., Any] | None = None
    ) -> tuple[Any, Trace]:
        """The output and what is read of it, its logits if they are; call: in the place of the model."""
        call, trace = call or self.given, Trace(torch.empty(0, 0, 0), torch.empty(0, 0, dtype=torch.long))
        if self._recorder is None:
            output = call(**inputs)
        else:
            targets = inputs.get("labels") if takes_targets(self.model) else None
            self._recorder.open()
            try:
                output = call(**inputs)
                trace = self._recorder.trace(output, targets)
            finally:
                self._recorder.close()
        if logits:
            trace.logits_BLV = logits_of(output, self.role)
            trace.labels_BL = labels_of(inputs, trace.logits_BLV, shifts_labels(self.model))
        return output, trace

    def move(self, function: Callable[[Tensor], Tensor]) -> None:
        """Does to its parameters what `Module.to` and its like do."""
        self.given._apply(function)


def common_sites(teacher: Side, student: Side, sites: Sequence[str] | None) -> tuple[str, ...]:
    """The sites, or all that both models have. ValueError for one that a model lacks, and where none is."""
    if sites is not None and (isinstance(sites, str) or not sites):
        raise ValueError(f"sites {sites!r}: expected a list of at least one site, or None for all")
    for side in (teacher, student):
        side.find(sites)
    if sites is not None:
        return tuple(dict.fromkeys(sites))
    if common := [site for site in student.depths if site in teacher.depths]:
        return tuple(common)
    had = " and ".join(f"the {side.role} {', '.join(side.depths)}" for side in (teacher, student))
    raise ValueError(f"teacher and student share no attention site: {had}")
