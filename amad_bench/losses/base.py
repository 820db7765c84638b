"""From two traces to pairs of maps: which sites, layers and cells; and the modules that average over them."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from amad_bench.losses.maps import check_shapes
from amad_bench.models.attention.trace import LayerTrace, Trace
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


class LazyParameters(nn.Module):
    """Parameters by any name, created once their sizes are known: from traces, or by loading a state dict
    (then on that one's device)."""

    def __contains__(self, name: str) -> bool:
        return self._key(name) in self._parameters

    def __getitem__(self, name: str) -> nn.Parameter:
        return self.get_parameter(self._key(name))

    def __len__(self) -> int:
        return len(self._parameters)

    def create(self, name: str, initial: Tensor) -> None:
        self.register_parameter(self._key(name), nn.Parameter(initial))

    @staticmethod
    def _key(name: str) -> str:
        return name.replace(".", "-")  # a dot in a state dict's key separates modules

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        for key, value in state_dict.items():
            name = key.removeprefix(prefix)
            if key.startswith(prefix) and name not in self._parameters:
                self.register_parameter(name, nn.Parameter(torch.empty_like(value)))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


class TraceLoss(nn.Module):
    """What every loss is: module(teacher: Trace, student: Trace) -> {part: unweighted scalar}."""

    def materialise(self, teacher: Trace | None, student: Trace) -> None:
        """Creates the parameters whose sizes depend on the traces; does nothing where none are lacking.

        Call it once before creating the optimizer, as with torch's lazy modules. New parameters are drawn
        from torch's global CPU generator and put on the student's device. A loss that has loaded a state dict
        has them already.
        """

    def weight_factor(self, epoch: int) -> float:
        """What the trainer multiplies this loss's weight by in this epoch, counted from 1."""
        return 1.0


class LayerPair(NamedTuple):
    """One mapped pair of layers, both counted from 0."""

    site: str
    student_index: int
    teacher_index: int
    teacher: LayerTrace
    student: LayerTrace

    @property
    def student_key(self) -> str:
        """Names the student's layer: "encoder.self/1"."""
        return f"{self.site}/{self.student_index}"

    @property
    def key(self) -> str:
        """Names the pair, since one student layer may be mapped to several of the teacher's."""
        return f"{self.site}/{self.student_index}/{self.teacher_index}"


class LayerLoss(TraceLoss):
    """A distance between a teacher's and a student's layer, averaged over all mapped layers of all sites.

    A subclass defines `compare(pair) -> scalar`. One with parameters keeps them in a `LazyParameters` of its
    own, named by `pair.key`, and defines `create_parameters(pair)`. `sites`: None = all that both traces
    hold. When called, raises ValueError that names the site for layers that cannot be compared.
    """

    def __init__(self, sites: Sequence[str] | None = None, layer_map: LayerMap = "last") -> None:
        super().__init__()
        if sites is not None and (isinstance(sites, str) or not sites):
            raise ValueError(f"sites {sites!r}: expected a list of at least one site, or None for all")
        self.sites = sites
        self.layer_map = layer_map

    def compare(self, pair: LayerPair) -> Tensor:
        raise NotImplementedError

    def create_parameters(self, pair: LayerPair) -> None:
        """Creates the parameters that are still lacking for this pair of layers; none by default."""

    def materialise(self, teacher: Trace | None, student: Trace) -> None:
        if teacher is not None:
            self._over_pairs(teacher, student, self.create_parameters)

    def forward(self, teacher: Trace, student: Trace) -> dict[str, Tensor]:
        """{"attention": the unweighted mean over the mapped (site, layer) pairs}."""
        self.materialise(teacher, student)
        return {"attention": torch.stack(self._over_pairs(teacher, student, self.compare)).mean()}

    def _over_pairs(self, teacher: Trace, student: Trace, function: Callable[[LayerPair], Any]) -> list[Any]:
        """function(pair) of every mapped pair of layers; its ValueErrors get the site's name in front."""
        results = []
        for site in common_sites(self.sites, teacher, student):
            teacher_layers, student_layers = teacher.sites[site], student.sites[site]
            try:
                for i, j in layer_pairs(self.layer_map, len(student_layers), len(teacher_layers)):
                    results.append(function(LayerPair(site, i, j, teacher_layers[j], student_layers[i])))
            except ValueError as error:
                raise ValueError(f"{site}: {error}") from error
        return results


class MapLoss(LayerLoss):
    """A `LayerLoss` of attention maps alone.

    A subclass names `over_cells(teacher_BHQK, student_BGQK, mask_B1QK, **options) -> scalar`; its options are
    the keyword-only ones. Raises TypeError for an option that `over_cells` does not have.
    """

    over_cells: ClassVar[Callable[..., Any]]

    def __init__(
        self, sites: Sequence[str] | None = None, layer_map: LayerMap = "last", **options: Any
    ) -> None:
        super().__init__(sites, layer_map)
        inspect.signature(self.over_cells).bind_partial(None, None, None, **options)
        self.options = options

    def arguments(self, pair: LayerPair) -> tuple[Any, ...]:
        """What `over_cells` takes after the mask that is no option: parameters, fixed weights."""
        return ()

    def compare(self, pair: LayerPair) -> Tensor:
        return self.compare_maps(pair)

    def compare_maps(self, pair: LayerPair) -> Any:
        teacher_BHQK, student_BGQK = pair.teacher.probs_BHQK(), pair.student.probs_BHQK()
        check_shapes(teacher_BHQK, student_BGQK)
        mask_B1QK = traced_cells(pair.teacher, pair.student, student_BGQK.shape)
        return self.over_cells(teacher_BHQK, student_BGQK, mask_B1QK, *self.arguments(pair), **self.options)

    def extra_repr(self) -> str:
        return ", ".join(f"{key}={value!r}" for key, value in self.options.items())


class Aligned(NamedTuple):
    """A loss and the alignment behind it: how much each teacher head listens to each student head."""

    loss: Tensor
    alignment_BHG: Tensor
    counts_B: Tensor  # bool: whether the sample has a valid cell


class AlignedMapLoss(MapLoss):
    """A `MapLoss` that aligns heads: `over_cells` returns an `Aligned`.

    `alignment`: the latest alignment_HG by "site/student layer", detached, the mean over samples with a valid
    cell. Where several teacher layers are mapped to one student layer it is that of the last pair.
    """

    def __init__(
        self, sites: Sequence[str] | None = None, layer_map: LayerMap = "last", **options: Any
    ) -> None:
        super().__init__(sites, layer_map, **options)
        self.alignment: dict[str, Tensor] = {}

    def compare(self, pair: LayerPair) -> Tensor:
        aligned: Aligned = self.compare_maps(pair)
        counts_B = aligned.counts_B.to(aligned.alignment_BHG.dtype)
        total_HG = torch.einsum("bhg,b->hg", aligned.alignment_BHG.detach(), counts_B)
        self.alignment[pair.student_key] = total_HG / counts_B.sum().clamp_min(1)
        return aligned.loss
