"""Hidden states: a layer's outputs against the teacher's, through a learned linear map.

Source: the hidden-state term of Jiao et al., "TinyBERT: Distilling BERT for Natural Language Understanding",
Findings of EMNLP 2020, arXiv:1909.10351 (after FitNets, Romero et al. 2015).

    L = mean over valid tokens and channels of (H_T - H_S W)^2,   W: d_S x d_T, learned, no bias

Domain: layer outputs (B, L, d); any widths and numbers of heads. One W per stack ("encoder", "decoder", ...),
shared by its mapped layers as in TinyBERT's code, initialised as torch initialises a linear layer.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from amad_bench.losses.base import (
    LayerLoss,
    LayerMap,
    common_sites,
    layer_pairs,
    naming,
)
from amad_bench.losses.lazy_parameters import LazyParameters, linear_start
from amad_bench.losses.maps import check_mask, full_precision, without_autocast
from amad_bench.losses.whole_batch import over_site
from amad_bench.models.attention.trace import Trace


def hidden_mse_loss(
    teacher_BLd: Tensor, student_BLe: Tensor, weight_ed: Tensor, *, token_mask_BL: Tensor | None = None
) -> Tensor:
    """A scalar in float64 if a hidden state is, else float32; mean over samples with a valid token.

    Mask: bool, True = valid; invalid tokens may hold anything. Raises ValueError for shapes that do not fit.
    """
    shapes = tuple(teacher_BLd.shape), tuple(student_BLe.shape)
    if teacher_BLd.dim() != 3 or student_BLe.dim() != 3 or shapes[0][:2] != shapes[1][:2]:
        raise ValueError(
            f"teacher states {shapes[0]} and student states {shapes[1]} must be (batch, tokens, width), "
            "equal in all but width"
        )
    if tuple(weight_ed.shape) != (shapes[1][2], shapes[0][2]):
        raise ValueError(f"weight {tuple(weight_ed.shape)}, expected {(shapes[1][2], shapes[0][2])}")
    teacher_BLd, student_BLe = full_precision(teacher_BLd, student_BLe)
    if token_mask_BL is None:
        token_mask_BL = teacher_BLd.new_ones(shapes[0][:2], dtype=torch.bool)
    check_mask("token_mask_BL", token_mask_BL, shapes[0][:2])
    teacher_BLd = torch.where(token_mask_BL[..., None], teacher_BLd, 0.0)
    student_BLe = torch.where(token_mask_BL[..., None], student_BLe, 0.0)
    with without_autocast(student_BLe.device):
        squares_B = (teacher_BLd - student_BLe @ weight_ed.to(student_BLe.dtype)).square().sum((1, 2))
    tokens_B = token_mask_BL.sum(1)
    means_B = squares_B / (tokens_B.clamp_min(1) * shapes[0][2])
    return means_B.sum() / (tokens_B > 0).sum().clamp_min(1)


class HiddenMse(LayerLoss):
    """`hidden_mse_loss` on traces recorded with `hidden=True`; `weights` holds W by stack.

    Sites name the stacks, "encoder.self" the encoder; their query masks say which tokens are real.
    """

    def __init__(self, sites: Sequence[str] | None = None, layer_map: LayerMap = "last") -> None:
        super().__init__(sites, layer_map)
        self.weights = LazyParameters()

    def materialise(self, teacher: Trace | None, student: Trace) -> None:
        if teacher is None:
            return
        for stack, _ in self._stacks(teacher, student):
            if stack not in self.weights:
                teacher_layers, student_layers = teacher.hidden[stack], student.hidden[stack]
                i, j = layer_pairs(self.layer_map, len(student_layers), len(teacher_layers))[0]
                teacher_BLd, student_BLe = teacher_layers[j], student_layers[i]
                shape = student_BLe.shape[-1], teacher_BLd.shape[-1]
                self.weights.create(stack, linear_start(shape, shape[0]).to(student_BLe.device))

    def terms(self, teacher: Trace, student: Trace) -> tuple[list[Tensor], dict[str, Tensor]]:
        """The scalars of the mapped layers of all stacks, to be averaged."""
        terms: list[Tensor] = []
        for stack, site in self._stacks(teacher, student):
            teacher_layers, student_layers = teacher.hidden[stack], student.hidden[stack]
            with naming(stack):
                for i, j in layer_pairs(self.layer_map, len(student_layers), len(teacher_layers)):
                    mask_BL = teacher.sites[site][j].query_mask_BQ & student.sites[site][i].query_mask_BQ
                    mean = hidden_mse_loss(
                        teacher_layers[j], student_layers[i], self.weights[stack], token_mask_BL=mask_BL
                    )
                    terms.append(over_site(mean, mask_BL.any(1), site, student))
        return terms, {}

    def _stacks(self, teacher: Trace, student: Trace) -> list[tuple[str, str]]:
        """Each stack once, with a site of it."""
        stacks: dict[str, str] = {}
        for site in common_sites(self.sites, teacher, student):
            stacks.setdefault(site.partition(".")[0], site)
        for stack in stacks:
            for role, trace in (("teacher", teacher), ("student", student)):
                if stack not in trace.hidden:
                    raise ValueError(f"the {role}'s trace has no hidden states of {stack!r}; set hidden=True")
        return list(stacks.items())
