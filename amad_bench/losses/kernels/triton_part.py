"""The loss of some samples of two layers, and its gradient with respect to the student's scores."""

from functools import cached_property

import torch
from torch import Tensor

from amad_bench.losses.kernels import triton_launch as launch
from amad_bench.losses.kernels.by_samples import of_samples
from amad_bench.losses.kernels.score_products import products_of
from amad_bench.losses.kernels.triton_recipe import Products, Recipe, weights
from amad_bench.models.attention.trace import LayerTrace


class Part:
    """Holds the samples' maps; `gradient_of_scores` comes last, since it writes over the student's."""

    def __init__(
        self,
        teacher: LayerTrace,
        student: LayerTrace,
        samples: slice,
        mask_B1QK: Tensor | None,
        how: Recipe,
    ) -> None:
        self.how = how
        teacher_BHQK = _maps(teacher, samples)
        if how.of_mean:
            teacher_BHQK = teacher_BHQK.mean(1, keepdim=True)
        self.maps = launch.MapPair(teacher_BHQK, _maps(student, samples), mask_B1QK)
        self.scores_dtype = torch.float32
        if student.query_BHQD.dtype == student.key_BJKD.dtype == torch.bfloat16:
            self.scores_dtype = torch.bfloat16
        self.rows = launch.row_products(self.maps, how.of_mean) if how.reads_products else None
        self.sums = None if self.rows is None else _sums(self.rows, how.by_row)
        heads, students, _, _ = self.maps.sizes
        with torch.enable_grad():
            self.weights = weights(how, self.sums, (len(teacher_BHQK), heads, students), teacher_BHQK)
        self.mixture_BRHG = self.weights.mixture_BRHG.detach()
        self.of_kernel = (
            self.mixture_BRHG.float().contiguous(),
            self.weights.inverse_norm_BH.detach().float().contiguous(),
        )

    @cached_property
    def divergence(self) -> tuple[Tensor, Tensor]:
        """Distances of each row (B, Q, H), and products of what remains with the student's maps."""
        return launch.row_divergence(self.maps, *self.of_kernel, self.how.mse)

    def loss(self, share_BH: Tensor) -> Tensor:
        """Sum of the teacher heads' distances times what each counts, in float64."""
        return (self.divergence[0].sum(1, dtype=torch.float64) * share_BH).sum()

    def alignment(self, rows_BQ: Tensor) -> Tensor:
        """(B, H, G); of alignments by row the mean over the rows that are True."""
        alignment_BRHG = self.weights.alignment_BRHG.detach()
        if not self.how.by_row:
            return alignment_BRHG[:, 0].float()
        total_BHG = torch.einsum("bqhg,bq->bhg", alignment_BRHG, rows_BQ.double())
        return (total_BHG / rows_BQ.sum(1).clamp_min(1)[:, None, None]).float()

    def gradient_of_scores(self, share_BH: Tensor) -> Tensor:
        """The gradient of `loss` with the same shares, (B, G, Q, K)."""
        remainder_BQHG = self.divergence[1].double()
        of_distance_B1H1 = -(2 if self.how.mse else 1) * share_BH[:, None, :, None]
        to_remainder_BRHG = of_distance_B1H1 * self.mixture_BRHG
        remainder_BRHG = remainder_BQHG if self.how.by_row else remainder_BQHG.sum(1, keepdim=True)
        to_teacher_BRHG = torch.zeros_like(self.mixture_BRHG)
        to_student_BRG = constant_BRG = torch.zeros_like(self.mixture_BRHG[:, :, 0])
        delta_BQG = (to_remainder_BRHG * remainder_BQHG).sum(2)
        if self.rows is not None and self.sums is not None and self.weights.mixture_BRHG.requires_grad:
            leaves = self.sums.cross_BRHG, self.sums.student_squares_BRG, self.sums.student_sums_BRG
            to_teacher_BRHG, of_squares_BRG, constant_BRG = torch.autograd.grad(
                self.weights.mixture_BRHG,
                leaves,
                of_distance_B1H1 * remainder_BRHG,
                allow_unused=True,
                materialize_grads=True,
            )
            to_student_BRG = 2 * of_squares_BRG
            delta_BQG = (
                delta_BQG
                + (to_teacher_BRHG * self.rows.cross_BQHG).sum(2)
                + to_student_BRG * self.rows.student_squares_BQG
                + constant_BRG * self.rows.student_sums_BQG
            )
        coefficients = (to_teacher_BRHG, to_remainder_BRHG, to_student_BRG, constant_BRG, delta_BQG)
        return launch.gradient_of_scores(
            self.maps,
            launch.Coefficients(*self.of_kernel, *(x.float().contiguous() for x in coefficients)),
            self.how.mse,
            self.how.of_mean,
            self.scores_dtype,
        )


def _maps(layer: LayerTrace, samples: slice) -> Tensor:
    """(b, H, Q, K), contiguous, over all keys that may be attended; given ones as they are given."""
    if layer.given_probs_BHQK is not None:
        return layer.given_probs_BHQK[samples].contiguous()
    scores_BHQK = products_of(layer, samples)
    bias, mask = layer.bias_BHQK, layer.mask_BHQK
    launch.softmax_(
        scores_BHQK,
        None if bias is None else of_samples(bias, samples),
        None if mask is None else of_samples(mask, samples),
        layer.scale,
    )
    return scores_BHQK


def _sums(rows: launch.RowProducts, by_row: bool) -> Products:
    """Over rows, unless each row has an alignment of its own; the student's ask for a gradient."""
    found = Products(*(x.double() if by_row else x.sum(1, keepdim=True, dtype=torch.float64) for x in rows))
    for leaf in (found.cross_BRHG, found.student_squares_BRG, found.student_sums_BRG):
        leaf.requires_grad_()
    return found
