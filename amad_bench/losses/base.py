"""From two traces to pairs of maps: which sites, layers and cells; and the module that averages over them."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from amad_bench.losses.maps import check_shapes
from amad_bench.models.trace import LayerTrace, Trace
from amad_bench.runtime.errors import did_you_mean

LayerMap = str | Sequence[Sequence[int]]


def layer_pairs(layer_map: LayerMap, student_layers: int, teacher_layers: int) -> list[tuple[int, int]]:
    """Pairs (student layer, teacher layer), counted from 0.

    "last": the two last layers. "uniform": every student layer i with the teacher layer
    round((i + 1) * teacher_layers / student_layers) - 1, halves rounded up, not below 0 (TinyBERT's map, Jiao
    et al. 2020, where the student's depth divides the teacher's). Else explicit [[student, teacher], ...].
    Raises ValueError for another name, a malformed or repeated pair and a layer that does not exist.
    """
    if layer_map == "last":
        return [(student_layers - 1, teacher_layers - 1)]
    if layer_map == "uniform":
        return [
            (i, max(0, (2 * (i + 1) * teacher_layers + student_layers) // (2 * student_layers) - 1))
            for i in range(student_layers)
        ]
    pairs = [] if isinstance(layer_map, str) else [tuple(pair) for pair in layer_map]
    if not pairs or any(len(pair) != 2 or any(type(i) is not int for i in pair) for pair in pairs):
        raise ValueError(
            f"layer_map {layer_map!r} is none of 'last', 'uniform', [[student layer, teacher layer], ...]"
        )
    if len(set(pairs)) != len(pairs):
        raise ValueError(f"layer_map {layer_map!r} names a pair twice")
    for student, teacher in pairs:
        if not (0 <= student < student_layers and 0 <= teacher < teacher_layers):
            raise ValueError(
                f"layer_map pair [{student}, {teacher}] is outside the student's {student_layers} and the "
                f"teacher's {teacher_layers} layers (counted from 0)"
            )
    return [(student, teacher) for student, teacher in pairs]


def common_sites(sites: Sequence[str] | None, teacher: Trace, student: Trace) -> list[str]:
    """The named sites, or all that both traces hold. Raises ValueError for a site that a trace lacks."""
    if sites is None:
        sites = [site for site in student.sites if site in teacher.sites]
        if not sites:
            raise ValueError(
                f"teacher and student share no site: {sorted(teacher.sites)} and {sorted(student.sites)}"
            )
    for site in sites:
        for role, trace in (("teacher", teacher), ("student", student)):
            if site not in trace.sites:
                known = sorted(trace.sites)
                raise ValueError(
                    f"the {role}'s trace has no site {site!r}, only {known}.{did_you_mean(site, known)}"
                )
    return list(sites)


def traced_cells(teacher: LayerTrace, student: LayerTrace, shape: Sequence[int]) -> Tensor:
    """Cells valid in both traces: bool, broadcasts to (B, 1, Q, K) of `shape` (B, heads, Q, K).

    Raises ValueError for masks that do not fit, and for one per head: all heads must have the same cells.
    """
    batch, _, queries, keys = shape
    mask = (teacher.query_mask_BQ & student.query_mask_BQ)[:, None, :, None]
    for layer in (teacher, student):
        if layer.mask_BHQK is None:
            continue
        sizes = tuple(layer.mask_BHQK.shape)
        full = (batch, 1, queries, keys)
        if len(sizes) != 4 or any(size not in (1, limit) for size, limit in zip(sizes, full, strict=True)):
            raise ValueError(
                f"the attention mask {sizes} does not broadcast to {full}; one mask per head is not supported"
            )
        mask = mask & layer.mask_BHQK
    return mask


class MapLoss(nn.Module):
    """A distance between a teacher's and a student's maps, averaged over all mapped layers of all sites.

    A subclass names `over_cells(teacher_BHQK, student_BGQK, mask_B1QK, **options) -> scalar`. `sites`: None =
    all that both traces hold. Raises TypeError for an option that `over_cells` does not have; when called,
    ValueError that names the site for layers and maps that cannot be compared.
    """

    over_cells: ClassVar[Callable[..., Tensor]]

    def __init__(
        self, sites: Sequence[str] | None = None, layer_map: LayerMap = "last", **options: Any
    ) -> None:
        super().__init__()
        if sites is not None and (isinstance(sites, str) or not sites):
            raise ValueError(f"sites {sites!r}: expected a list of at least one site, or None for all")
        inspect.signature(self.over_cells).bind(None, None, None, **options)
        self.sites = sites
        self.layer_map = layer_map
        self.options = options

    def forward(self, teacher: Trace, student: Trace) -> dict[str, Tensor]:
        """{"attention": the unweighted mean over the mapped (site, layer) pairs}."""
        parts = []
        for site in common_sites(self.sites, teacher, student):
            teacher_layers, student_layers = teacher.sites[site], student.sites[site]
            try:
                pairs = layer_pairs(self.layer_map, len(student_layers), len(teacher_layers))
                for student_index, teacher_index in pairs:
                    parts.append(self._compare(teacher_layers[teacher_index], student_layers[student_index]))
            except ValueError as error:
                raise ValueError(f"{site}: {error}") from error
        return {"attention": torch.stack(parts).mean()}

    def _compare(self, teacher: LayerTrace, student: LayerTrace) -> Tensor:
        teacher_BHQK, student_BGQK = teacher.probs_BHQK(), student.probs_BHQK()
        check_shapes(teacher_BHQK, student_BGQK)
        mask_B1QK = traced_cells(teacher, student, student_BGQK.shape)
        return self.over_cells(teacher_BHQK, student_BGQK, mask_B1QK, **self.options)

    def extra_repr(self) -> str:
        return ", ".join(f"{key}={value!r}" for key, value in self.options.items())
