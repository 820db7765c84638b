"""Modules that compare two traces: which sites, layers and entries, and the mean over them."""

import inspect
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from amad_bench.losses.aligned import Aligned, with_alignment
from amad_bench.losses.entries import traced_entries, traced_samples
from amad_bench.losses.kernels.choice import KERNELS, by_kernel
from amad_bench.losses.kernels.compared import Compared
from amad_bench.losses.kernels.triton_loss import triton_loss
from amad_bench.losses.maps import check_choice
from amad_bench.losses.whole_batch import over_site
from amad_bench.models.attention.trace import LayerTrace, Trace
from amad_bench.runtime.errors import did_you_mean

LayerMap = str | Sequence[Sequence[int]]
T = TypeVar("T")


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
    try:
        pairs = [] if isinstance(layer_map, str) else [tuple(pair) for pair in layer_map]
    except TypeError:  # None, or numbers
        pairs = []
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


@contextmanager
def naming(where: str) -> Generator[None]:
    """Puts a site's or a stack's name in front of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


@dataclass(frozen=True)
class Outcome:
    """A loss of two traces: its parts, unweighted scalars by name, and how it aligned heads, if it does.

    alignment: alignment_HG by "site/student layer", detached, the mean over samples with a valid entry. Where
    several teacher layers are mapped to one student layer it is that of the last pair.
    """

    parts: dict[str, Tensor]
    alignment: dict[str, Tensor] = field(default_factory=dict[str, Tensor])


class TraceLoss(nn.Module):
    """A loss of traces: module(teacher: Trace, student: Trace) -> {part: unweighted scalar}.

    A subclass defines `outcome`. Of a trace that knows its batch's totals it gives the summands of the whole
    batch's parts and alignment: see `losses.whole_batch`.
    """

    def outcome(self, teacher: Trace | None, student: Trace) -> Outcome:
        """Parts and alignment. Raises ValueError where there is no teacher and the loss reads it."""
        raise NotImplementedError

    def forward(self, teacher: Trace | None, student: Trace) -> dict[str, Tensor]:
        return self.outcome(teacher, student).parts

    def materialise(self, teacher: Trace | None, student: Trace) -> None:
        """Creates the parameters whose sizes depend on the traces; does nothing where none are lacking.

        Call it once before creating the optimizer, as with torch's lazy modules. New parameters are drawn
        from torch's global CPU generator and put on the student's device. A loss that has loaded a state dict
        has them already.
        """

    def weight_factor(self, epoch: int) -> float:
        """Factor of this loss's weight in this epoch, counted from 1."""
        return 1.0


def given_teacher(teacher: Trace | None) -> Trace:
    """The teacher's trace. Raises ValueError where there is none."""
    if teacher is None:
        raise ValueError("this loss compares a student with a teacher, whose trace is missing")
    return teacher


class LayerPair(NamedTuple):
    """One mapped pair of layers, both counted from 0."""

    site: str
    student_index: int
    teacher_index: int
    teacher: LayerTrace
    student: LayerTrace

    @property
    def student_key(self) -> str:
        """Name of the student's layer: "encoder.self/1"."""
        return f"{self.site}/{self.student_index}"

    @property
    def key(self) -> str:
        """Name of the pair, since one student layer may be mapped to several of the teacher's."""
        return f"{self.site}/{self.student_index}/{self.teacher_index}"

    def summand(self, mean: Tensor, student: Trace) -> Tensor:
        """Summand of a mean over the samples that have a valid entry here, see `losses.whole_batch`."""
        if student.totals is None:
            return mean
        counted_B = traced_samples(self.teacher, self.student)
        return over_site(mean, counted_B, self.site, student)


class LayerLoss(TraceLoss):
    """A distance between a teacher's and a student's layer, averaged over all mapped layers of all sites.

    A subclass defines `compare(pair) -> scalar`, a mean over samples with a valid entry. One with parameters
    keeps them in a `LazyParameters` of its own, named by `pair.key`, and defines `create_parameters(pair)`.
    `sites`: None = all that both traces hold. kernel: how it is computed, see `losses.kernels`. When called,
    raises ValueError that names the site for layers that cannot be compared. kernels: those that it has; a
    loss whose parameters are part of `compare` has no "chunked", which gives them no gradient.
    """

    kernel = "dense"
    kernels: Sequence[str] = KERNELS

    def __init__(self, sites: Sequence[str] | None = None, layer_map: LayerMap = "last") -> None:
        super().__init__()
        if sites is not None and (isinstance(sites, str) or not sites):
            raise ValueError(f"sites {sites!r}: expected a list of at least one site, or None for all")
        self.sites = sites
        self.layer_map = layer_map

    def compare(self, pair: LayerPair) -> Tensor:
        raise NotImplementedError

    def compared(self, pair: LayerPair) -> Compared:
        """`compare`, with the alignment where there is one."""
        return Compared(self.compare(pair))

    def terms(self, teacher: Trace, student: Trace) -> tuple[list[Tensor], dict[str, Tensor]]:
        """The scalars to be averaged, and alignments by student layer."""
        terms: list[Tensor] = []
        alignments: dict[str, Tensor] = {}

        def add(pair: LayerPair) -> None:
            loss, alignment_HG = self.by_kernel(pair)
            terms.append(pair.summand(loss, student))
            if alignment_HG is not None:
                alignments[pair.student_key] = pair.summand(alignment_HG, student)

        self.over_pairs(teacher, student, add)
        return terms, alignments

    def by_kernel(self, pair: LayerPair) -> Compared:
        """The pair compared by this loss's kernel."""
        check_choice("kernel", self.kernel, self.kernels)
        kernel = self.kernel if "chunked" in self.kernels else "dense"
        if kernel != "dense" and next(self.parameters(), None) is not None:
            name = type(self).__name__
            raise ValueError(
                f"by chunks the parameters of {name} get no gradient: kernels = ('auto', 'dense')"
            )

        def compare(teacher: LayerTrace, student: LayerTrace) -> Compared:
            return self.compared(pair._replace(teacher=teacher, student=student))

        return by_kernel(kernel, compare, pair.teacher, pair.student)

    def create_parameters(self, pair: LayerPair) -> None:
        """Creates the parameters that are still lacking for this pair of layers; none by default."""

    def materialise(self, teacher: Trace | None, student: Trace) -> None:
        if teacher is not None:
            self.over_pairs(teacher, student, self.create_parameters)

    def outcome(self, teacher: Trace | None, student: Trace) -> Outcome:
        """{"attention": the unweighted mean over the mapped (site, layer) pairs}, and the alignment."""
        teacher = given_teacher(teacher)
        self.materialise(teacher, student)
        terms, alignment = self.terms(teacher, student)
        return Outcome({"attention": torch.stack(terms).mean()}, alignment)

    def over_pairs(self, teacher: Trace, student: Trace, function: Callable[[LayerPair], T]) -> list[T]:
        """function(pair) of every mapped pair of layers; its ValueErrors get the site's name in front."""
        results: list[T] = []
        for site in common_sites(self.sites, teacher, student):
            teacher_layers, student_layers = teacher.sites[site], student.sites[site]
            with naming(site):
                for i, j in layer_pairs(self.layer_map, len(student_layers), len(teacher_layers)):
                    results.append(function(LayerPair(site, i, j, teacher_layers[j], student_layers[i])))
        return results


class MapLoss(LayerLoss):
    """A `LayerLoss` of attention maps.

    A subclass names `function(teacher_BHQK, student_BGQK, *, cell_mask_QK, **options) -> scalar`. Raises
    TypeError for an option that `function` does not have.
    """

    function: ClassVar[Callable[..., Tensor]]
    aligns: ClassVar[bool] = False  # whether the function finds an alignment
    method: ClassVar[str] = ""  # what losses.kernels.triton_loss calls it, where it knows it

    def __init__(
        self,
        sites: Sequence[str] | None = None,
        layer_map: LayerMap = "last",
        *,
        kernel: str = "auto",
        **options: Any,
    ) -> None:
        super().__init__(sites, layer_map)
        self.kernel = kernel
        inspect.signature(self.function).bind_partial(None, None, **options)
        self.options = options

    def arguments(self, pair: LayerPair) -> dict[str, Any]:
        """Arguments of `function` beside maps, mask and options: parameters, other parts of the traces."""
        return {}

    def compare(self, pair: LayerPair) -> Tensor:
        return self.compare_by(self.function, pair)

    def compare_by(self, function: Callable[..., T], pair: LayerPair) -> T:
        """`function` of the pair's maps."""
        mask_B1QK = traced_entries(pair.teacher, pair.student)
        maps = pair.teacher.probs_BHQK(), pair.student.probs_BHQK()
        return function(*maps, cell_mask_QK=mask_B1QK, **self.arguments(pair), **self.options)

    def by_kernel(self, pair: LayerPair) -> Compared:
        if self.kernel != "triton" or not self.method:
            return super().by_kernel(pair)
        mask_B1QK = traced_entries(pair.teacher, pair.student)
        found = triton_loss(pair.teacher, pair.student, mask_B1QK, method=self.method, options=self.options)
        return Compared(found.loss, found.mean_HG() if self.aligns else None)

    def extra_repr(self) -> str:
        return ", ".join(f"{key}={value!r}" for key, value in self.options.items())


class AlignedMapLoss(MapLoss):
    """A `MapLoss` whose `function` aligns heads: one decorated by `loss_alone`."""

    aligns = True

    def compared(self, pair: LayerPair) -> Compared:
        found: Aligned = self.compare_by(with_alignment(self.function), pair)
        return Compared(found.loss, found.mean_HG())
