"""Several losses of one pair of traces, each with its weight: those of a run, and those of a Distiller."""

from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from amad_bench.losses.base import LayerMap, Outcome, TraceLoss, layer_pairs, naming
from amad_bench.models.attention.trace import Trace


class WeightedLosses(nn.Module):
    """Losses by name. Each gives one unweighted scalar, its part of the weighted sum.

    seed: for what losses draw once; equal seeds give equal parameters.
    """

    def __init__(self, losses: Mapping[str, TraceLoss], weights: Mapping[str, float], seed: int = 0) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(losses)
        self.loss_weights = dict(weights)
        self.seed = seed

    def materialise(self, teacher: Trace | None, student: Trace) -> None:
        """Creates the trainable parameters that some losses have; those that are there stay.

        torch's global generator is left as it was. ValueError where a loss cannot be used on maps of these
        sizes.
        """
        with torch.random.fork_rng(devices=[]):  # pyright: ignore[reportUnknownMemberType]
            torch.manual_seed(self.seed)  # pyright: ignore[reportUnknownMemberType]
            for _, loss in self.losses():
                loss.materialise(teacher, student)

    def outcomes(self, teacher: Trace | None, student: Trace) -> dict[str, Outcome]:
        """Each loss's outcome on the traces."""
        return {name: loss.outcome(teacher, student) for name, loss in self.losses()}

    def total(self, parts: Mapping[str, Tensor], epoch: int = 1) -> Tensor:
        """The weighted sum of unweighted scalars; epoch: counted from 1."""
        total = next(iter(parts.values())).new_zeros(())
        for name, loss in self.losses():
            total = total + self.loss_weights[name] * loss.weight_factor(epoch) * parts[name]
        return total

    def losses(self) -> Iterator[tuple[str, TraceLoss]]:
        return cast("Iterator[tuple[str, TraceLoss]]", iter(self.parts.items()))


def mapped_layers(
    layer_map: LayerMap, depths: Mapping[str, tuple[int, int]], every_layer: bool = False
) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """The layers of the student and of the teacher that are read, by site.

    depths: of each site the student's and the teacher's number of layers. every_layer: whatever the map says.
    ValueError, naming the site, where the layer map names a layer that one of them does not have.
    """
    of_student: dict[str, list[int]] = {}
    of_teacher: dict[str, list[int]] = {}
    for site, (student, teacher) in depths.items():
        if every_layer:
            of_student[site], of_teacher[site] = list(range(student)), list(range(teacher))
            continue
        with naming(site):
            pairs = layer_pairs(layer_map, student, teacher)
        of_student[site], of_teacher[site] = (sorted(set(side)) for side in zip(*pairs, strict=True))
    return of_student, of_teacher
