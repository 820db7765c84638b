"""A2D, Align-to-Distill: a learned 1x1 convolution turns all student maps into all teacher maps.

Source: Jin et al., "Align-to-Distill: Trainable Attention Alignment for Knowledge Distillation in Neural
Machine Translation", LREC-COLING 2024, arXiv:2403.01479; released code ncsoft/Align-to-Distill 08340a2 (its
numbers are a fixture of the tests). H and G count all maps of a site: layers times heads.

    C_h = sum_g W_hg s_g + b_h,  h = 1..H
    double_softmax: true (as released):  KL(softmax(t_h) || softmax(C_h)), both over the flattened entries,
                                         although maps are probabilities already
    double_softmax: false:               W softmaxed over g and no b, so that rows of C_h stay distributions;
                                         KL by rows, mean over valid rows
    reduction: sum over samples and teacher maps (as released), or mean over both

W and b start as torch's Conv2d. The published weight of this loss shrinks with each epoch, by .9^(epoch - 1):
`weight_factor`. Domain: attention probabilities of all layers (a layer map is not used); any numbers of heads
and layers. Unlike the released code, which has no masks, masked entries are left out of the softmax. Sites
are averaged; the released code sums them, with half a weight for each of the decoder's.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from amad_bench.losses.base import (
    LayerLoss,
    LayerMap,
    common_sites,
    naming,
)
from amad_bench.losses.entries import traced_entries, traced_samples
from amad_bench.losses.lazy_parameters import LazyParameters, linear_start
from amad_bench.losses.maps import (
    Maps,
    check_choice,
    kl_distance,
    prepare,
    valid_entries,
    without_autocast,
)
from amad_bench.losses.whole_batch import over_site
from amad_bench.models.attention.trace import LayerTrace, Trace


def a2d_loss(
    teacher_BHQK: Tensor,
    student_BGQK: Tensor,
    weight_HG: Tensor,
    bias_H: Tensor | None,
    *,
    query_mask_BQ: Tensor | None = None,
    key_mask_BK: Tensor | None = None,
    cell_mask_QK: Tensor | None = None,
    double_softmax: bool = True,
    reduction: str = "sum",
) -> Tensor:
    """A scalar; masks and precision as in `amad_loss`. `bias_H` goes with `double_softmax` and only
    with it.

    Raises ValueError for an unknown reduction, a bias too many or too few and for shapes that do not fit.
    """
    mask_B1QK = valid_entries(teacher_BHQK, student_BGQK, query_mask_BQ, key_mask_BK, cell_mask_QK)
    check_choice("reduction", reduction, ("sum", "mean"))
    expected = (teacher_BHQK.shape[1], student_BGQK.shape[1])
    if tuple(weight_HG.shape) != expected:
        raise ValueError(f"a2d: weight {tuple(weight_HG.shape)}, expected {expected} (teacher, student maps)")
    if (bias_H is not None) != double_softmax:
        raise ValueError("a2d: a bias is for double_softmax, which needs one; without it there is none")
    maps = prepare(teacher_BHQK, student_BGQK, mask_B1QK)
    weight_HG = weight_HG.to(maps.student_BGQK.dtype)
    if bias_H is not None:
        convolved_BHQK = _convolve(maps, weight_HG) + bias_H[:, None, None]
        distance_BH = _flattened_kl(maps, convolved_BHQK, mask_B1QK)
    else:
        mixture_BHQK = _convolve(maps, weight_HG.softmax(-1))
        distance_BH = kl_distance(maps.teacher_BHQK, mixture_BHQK, maps.rows_B)
    if reduction == "sum":
        return distance_BH.sum()
    return distance_BH.mean(1).sum() / (maps.rows_B > 0).sum().clamp_min(1)


def _convolve(maps: Maps, weight_HG: Tensor) -> Tensor:
    with without_autocast(weight_HG.device):
        return (weight_HG @ maps.student_BGQK.flatten(2)).view_as(maps.teacher_BHQK)


def _flattened_kl(maps: Maps, convolved_BHQK: Tensor, mask_B1QK: Tensor | None) -> Tensor:
    """KL per map (B, H) of the softmaxes over all valid entries of a map; 0 for a sample without any."""
    log_teacher_BHN = _log_softmax(maps.teacher_BHQK, mask_B1QK)
    log_student_BHN = _log_softmax(convolved_BHQK, mask_B1QK)
    return (log_teacher_BHN.exp() * (log_teacher_BHN - log_student_BHN)).sum(-1)


def _log_softmax(maps_BHQK: Tensor, mask_B1QK: Tensor | None) -> Tensor:
    if mask_B1QK is None:
        return maps_BHQK.flatten(2).log_softmax(-1)
    # finite, unlike -inf: a masked entry then adds exp(lowest) * (lowest - lowest) = 0, and a sample without
    # a valid entry has two uniform distributions
    lowest = torch.finfo(maps_BHQK.dtype).min
    return maps_BHQK.masked_fill(~mask_B1QK, lowest).flatten(2).log_softmax(-1)


class A2D(LayerLoss):
    """`a2d_loss` on traces, all layers of each site; `convolutions` holds W and b by site."""

    def __init__(
        self,
        sites: Sequence[str] | None = None,
        layer_map: LayerMap = "last",
        *,
        double_softmax: bool = True,
        reduction: str = "sum",
        decay: float = 0.9,
    ) -> None:
        super().__init__(sites, layer_map)
        self.double_softmax = double_softmax
        self.reduction = reduction
        self.decay = decay
        self.convolutions = LazyParameters()

    def weight_factor(self, epoch: int) -> float:
        return self.decay ** (epoch - 1)

    def materialise(self, teacher: Trace | None, student: Trace) -> None:
        if teacher is None:
            return
        for site in common_sites(self.sites, teacher, student):
            if f"{site}/weight" not in self.convolutions:
                maps_H, maps_G = (_count(trace.sites[site]) for trace in (teacher, student))
                shapes = {"weight": (maps_H, maps_G)} | ({"bias": (maps_H,)} if self.double_softmax else {})
                for name, shape in shapes.items():
                    initial = linear_start(shape, maps_G).to(student.sites[site][0].query_BHQD.device)
                    self.convolutions.create(f"{site}/{name}", initial)

    def terms(self, teacher: Trace, student: Trace) -> tuple[list[Tensor], dict[str, Tensor]]:
        """The scalars of all sites, to be averaged."""
        terms: list[Tensor] = []
        for site in common_sites(self.sites, teacher, student):
            with naming(site):
                term, counted_B = self._of_site(site, teacher.sites[site], student.sites[site])
                # a sum over samples is a summand already
                summed = self.reduction == "sum"
                terms.append(term if summed else over_site(term, counted_B, site, student))
        return terms, {}

    def _of_site(
        self, site: str, teacher: Sequence[LayerTrace], student: Sequence[LayerTrace]
    ) -> tuple[Tensor, Tensor]:
        """The scalar, and which samples (B,) have a valid entry."""
        mask_B1QK = traced_entries(teacher[-1], student[-1])  # all layers have one mask
        teacher_BHQK, student_BGQK = (
            torch.cat([layer.probs_BHQK() for layer in layers], dim=1) for layers in (teacher, student)
        )
        loss = a2d_loss(
            teacher_BHQK,
            student_BGQK,
            self.convolutions[f"{site}/weight"],
            self.convolutions[f"{site}/bias"] if self.double_softmax else None,
            cell_mask_QK=mask_B1QK,
            double_softmax=self.double_softmax,
            reduction=self.reduction,
        )
        return loss, traced_samples(teacher[-1], student[-1])

    def extra_repr(self) -> str:
        return f"double_softmax={self.double_softmax}, reduction={self.reduction!r}, decay={self.decay}"


def _count(layers: Sequence[LayerTrace]) -> int:
    return sum(layer.shape_BHQK[1] for layer in layers)
