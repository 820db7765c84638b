"""AMAD: every teacher head is compared with a soft mixture of all student heads.

Source: Zhao et al., "No Head Left Behind: Multi-Head Alignment Distillation for Transformers", AAAI 2024,
doi 10.1609/aaai.v38i7.28583. Per sample, over valid entries, t_h, s_g being flat maps (docs/methods.md#amad):

    w_hg = <t_h, s_g> / (|t_h| |s_g|)               cosine, eq. 2; `similarity: l1` takes L1 norms instead
    a_hg = exp(w_hg / tau) / sum_m exp(w_hm / tau)  softmax over STUDENT heads; tau = 1 as published
    mse:       sum_h | t_h/|t_h| - sum_g a_hg s_g/|s_g| |^2             eq. 4-6
    kl:        sum_h KL(t_h || sum_g a_hg s_g)                          by query rows, eq. 9
    projected: as kl, with S~ = ReLU(S W^T + b) in place of S           eq. 11; amad_projected.py
    token:     as kl, with an alignment of its own for each query row   eq. 12

Domain: attention probabilities, every valid row sums to 1. Any numbers of heads H and G. The gradient passes
through a_hg unless `detach_alignment`. Every a_hg is positive, so a student that copies distinct teacher
heads is not at the optimum.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from amad_bench.losses.aligned import Aligned, loss_alone
from amad_bench.losses.amad_projected import (
    check_projection,
    initial_projection,
    projected_loss,
    projected_maps,
)
from amad_bench.losses.base import AlignedMapLoss, LayerMap, LayerPair
from amad_bench.losses.kernels.choice import KERNELS
from amad_bench.losses.lazy_parameters import LazyParameters
from amad_bench.losses.maps import check_choice, valid_entries
from amad_bench.losses.mixture import masked_maps, mixture_loss, softmax_of_similarity
from amad_bench.losses.query_rows import SampledRows

VARIANTS = ("kl", "mse", "projected", "token")


@loss_alone
def amad_loss(
    teacher_BHQK: Tensor,
    student_BGQK: Tensor,
    *,
    query_mask_BQ: Tensor | None = None,
    key_mask_BK: Tensor | None = None,
    cell_mask_QK: Tensor | None = None,
    variant: str = "kl",
    similarity: str = "cosine",
    temperature: float = 1.0,
    detach_alignment: bool = False,
    head_reduction: str = "sum",
    row_reduction: str = "mean",
    projection: tuple[Tensor, Tensor] | None = None,
) -> Aligned:
    """AMAD of two sets of maps: a scalar in float64 if a map is, else float32; in nats, but for `mse`.

    Masks: bool, True = valid; `cell_mask_QK` is for all samples or (B, 1, Q, K). Masked entries may hold
    anything and get a gradient of exactly 0. Mean over samples with a valid entry (none: 0); over heads
    `head_reduction` (sum, as printed, or mean); over valid rows `row_reduction` (mean, or sum; `mse` has no
    rows). `projection`: (W_nn, b_n), n = Q * K entries in row order, for the variant "projected" alone. It
    needs a device with float64.
    Raises ValueError for unknown names, a temperature that is not above 0, shapes and masks that do not fit,
    a sum over rows that `mse` does not have, and a projection that is lacking, not used or of another size.
    """
    mask_B1QK = valid_entries(teacher_BHQK, student_BGQK, query_mask_BQ, key_mask_BK, cell_mask_QK)
    check_choice("variant", variant, VARIANTS)
    if variant == "mse" and row_reduction == "sum":
        raise ValueError("row_reduction 'sum' is for the variants with rows; 'mse' flattens the map")
    check_projection(variant, projection, teacher_BHQK.shape)
    maps = masked_maps(teacher_BHQK, student_BGQK, mask_B1QK)
    if projection is not None:
        maps = projected_maps(maps, projection)
    weights_BRHG, products = softmax_of_similarity(maps, similarity, temperature, by_row=variant == "token")
    if detach_alignment:
        weights_BRHG = weights_BRHG.detach()
    if projection is not None:
        return projected_loss(maps, weights_BRHG[:, 0], head_reduction, row_reduction)
    distance = "mse" if variant == "mse" else "kl"
    return mixture_loss(maps, weights_BRHG, distance, head_reduction, row_reduction, products)


def alignment_weights(
    teacher_BHQK: Tensor,
    student_BGQK: Tensor,
    *,
    query_mask_BQ: Tensor | None = None,
    key_mask_BK: Tensor | None = None,
    cell_mask_QK: Tensor | None = None,
    similarity: str = "cosine",
    temperature: float = 1.0,
) -> Tensor:
    """a_BHG: how much each teacher head listens to each student head; sums to 1 over student heads.

    Masks and errors as in `amad_loss`. At temperature 1 no weight exceeds e / (e + G - 1).
    """
    mask_B1QK = valid_entries(teacher_BHQK, student_BGQK, query_mask_BQ, key_mask_BK, cell_mask_QK)
    maps = masked_maps(teacher_BHQK, student_BGQK, mask_B1QK)
    return softmax_of_similarity(maps, similarity, temperature)[0][:, 0].to(maps.precision)


def token_alignment_weights(
    teacher_BHQK: Tensor,
    student_BGQK: Tensor,
    *,
    query_mask_BQ: Tensor | None = None,
    key_mask_BK: Tensor | None = None,
    cell_mask_QK: Tensor | None = None,
    similarity: str = "cosine",
    temperature: float = 1.0,
) -> Tensor:
    """a_BQHG: `alignment_weights` of each query row by itself; 1/G in rows without a valid entry."""
    mask_B1QK = valid_entries(teacher_BHQK, student_BGQK, query_mask_BQ, key_mask_BK, cell_mask_QK)
    maps = masked_maps(teacher_BHQK, student_BGQK, mask_B1QK)
    return softmax_of_similarity(maps, similarity, temperature, by_row=True)[0].to(maps.precision)


class Amad(SampledRows, AlignedMapLoss):
    """`amad_loss` on traces; the variant "projected" has parameters."""

    function = staticmethod(amad_loss)
    method, kernels = "amad", (*KERNELS, "triton")

    def __init__(
        self,
        sites: Sequence[str] | None = None,
        layer_map: LayerMap = "last",
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(sites, layer_map, seed, **options)
        self.projects = options.get("variant") == "projected"
        if self.projects:
            self.kernels = ("auto", "dense")
            self.weights, self.biases = LazyParameters(), LazyParameters()

    def create_parameters(self, pair: LayerPair) -> None:
        if self.projects and pair.key not in self.weights:
            queries = pair.student.query_BHQD
            weight_nn, bias_n = initial_projection(queries.shape[-2], pair.student.key_BJKD.shape[-2])
            self.weights.create(pair.key, weight_nn.to(queries.device))
            self.biases.create(pair.key, bias_n.to(queries.device))

    def arguments(self, pair: LayerPair) -> dict[str, Any]:
        return {"projection": (self.weights[pair.key], self.biases[pair.key])} if self.projects else {}
