"""The losses' demands on the Triton kernels: weights of the mixtures, and their gradient, from a few numbers.

Axes as in mixture.py. A loss is a distance of each teacher head to a mixture of student heads, whose weights
are fixed or the softmax of a similarity; `head_mean` has one teacher head, the mean of all.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor

from amad_bench.losses.maps import DISTANCES, EPSILON, check_choice
from amad_bench.losses.mixture import SIMILARITIES

METHODS = ("amad", "one_to_one", "head_mean", "student_mean")


@dataclass(frozen=True)
class Recipe:
    """A loss's options as the kernels take them. similarity: None = the weights are fixed."""

    method: str
    mse: bool
    similarity: str | None = None
    by_row: bool = False
    temperature: float = 1.0
    detach_alignment: bool = False
    head_reduction: str = "sum"
    row_reduction: str = "mean"

    @property
    def of_mean(self) -> bool:
        """Whether the means of both sides' heads are compared."""
        return self.method == "head_mean"

    @property
    def reads_products(self) -> bool:
        return self.mse or self.similarity is not None


def recipe(method: str, heads: tuple[int, int], options: Mapping[str, Any]) -> Recipe:
    """The recipe of a loss by its name in the catalogue; options left out are those of its function.

    Raises ValueError for a loss that has no such kernels and for values that its function refuses, TypeError
    for options that its function does not have.
    """
    check_choice("loss of kernel 'triton'", method, METHODS)
    function: Callable[..., Any] = getattr(import_module(f"amad_bench.losses.{method}"), f"{method}_loss")
    bound = inspect.signature(function).bind_partial(**options)
    bound.apply_defaults()
    given = bound.arguments
    head_reduction: str = given.get("head_reduction", "mean")
    check_choice("head_reduction", head_reduction, ("sum", "mean"))
    if method != "amad":
        check_choice("distance", given["distance"], DISTANCES)
        if given.get("drop") == "refuse" and heads[0] != heads[1]:
            raise ValueError(
                f"one_to_one compares head h with head h, but the teacher has {heads[0]} heads and the "
                f"student {heads[1]}; set drop='extra' to leave the surplus heads out"
            )
        return Recipe(method, given["distance"] == "mse", head_reduction=head_reduction)
    variant = given["variant"]
    check_choice("variant of kernel 'triton'", variant, ("kl", "mse", "token"))
    check_choice("similarity", given["similarity"], SIMILARITIES)
    check_choice("row_reduction", given["row_reduction"], ("mean", "sum"))
    if variant == "mse" and given["row_reduction"] == "sum":
        raise ValueError("row_reduction 'sum' is for the variants with rows; 'mse' flattens the map")
    if not given["temperature"] > 0:
        raise ValueError(f"temperature must be above 0, not {given['temperature']}")
    return Recipe(
        method,
        variant == "mse",
        given["similarity"],
        variant == "token",
        given["temperature"],
        given["detach_alignment"],
        head_reduction,
        given["row_reduction"],
    )


class Products(NamedTuple):
    """Sums over what shares an alignment (R = 1, or rows), in float64; as `RowProducts`."""

    cross_BRHG: Tensor
    teacher_squares_BRH: Tensor
    teacher_sums_BRH: Tensor
    student_squares_BRG: Tensor
    student_sums_BRG: Tensor


class Weights(NamedTuple):
    """In float64.

    mixture: what each student map is multiplied by, the alignment or that over norms."""

    alignment_BRHG: Tensor
    mixture_BRHG: Tensor
    inverse_norm_BH: Tensor  # by which the teacher's maps are multiplied


def weights(how: Recipe, products: Products | None, shape_BHG: tuple[int, int, int], like: Tensor) -> Weights:
    """Differentiable in the products, which fixed weights of `kl` do without."""
    batch, heads, students = shape_BHG
    fixed_BRHG = fixed_weights(how, heads, students, like).expand(batch, 1, heads, students)
    if products is None:
        return Weights(fixed_BRHG, fixed_BRHG, like.new_ones(batch, heads, dtype=torch.float64))
    student_squares_BRG = products.student_squares_BRG
    if how.of_mean:  # of the mean, the same for all heads
        student_squares_BRG = student_squares_BRG.mean(-1, keepdim=True).expand_as(student_squares_BRG)
    norm_BRH, student_norm_BRG = _norms(products.teacher_squares_BRH), _norms(student_squares_BRG)
    if how.similarity is None:
        alignment_BRHG = fixed_BRHG
    else:
        size_BRH, size_BRG = norm_BRH, student_norm_BRG
        if how.similarity == "l1":
            size_BRH = products.teacher_sums_BRH.clamp_min(EPSILON)
            size_BRG = products.student_sums_BRG.clamp_min(EPSILON)
        alignment_BRHG = softmax_of_similarity(products.cross_BRHG, size_BRH, size_BRG, how.temperature)
    if how.detach_alignment:
        alignment_BRHG = alignment_BRHG.detach()
    mixture_BRHG = alignment_BRHG / student_norm_BRG[..., None, :] if how.mse else alignment_BRHG
    return Weights(alignment_BRHG, mixture_BRHG, norm_BRH[:, 0].reciprocal())


def softmax_of_similarity(
    cross_BRHG: Tensor, size_BRH: Tensor, size_BRG: Tensor, temperature: float
) -> Tensor:
    """The softmax over student heads of products over sizes."""
    similarity_BRHG = cross_BRHG / (size_BRH[..., :, None] * size_BRG[..., None, :])
    return torch.softmax(similarity_BRHG / temperature, dim=-1)


def fixed_weights(how: Recipe, heads: int, students: int, like: Tensor) -> Tensor:
    """(H, G): each head's own for `one_to_one`, 0 for surplus heads; else 1/G."""
    if how.method == "one_to_one":
        return torch.eye(heads, students, dtype=torch.float64, device=like.device)
    return like.new_full((heads, students), 1 / students, dtype=torch.float64)


def shares(how: Recipe, rows_B: Tensor, heads: int, students: int) -> Tensor:
    """Shares of the teacher heads' distances in the loss (B, H), in float64; rows_B: valid rows."""
    compared = min(heads, students) if how.method == "one_to_one" else heads
    counts_B = rows_B > 0
    share_B = counts_B.double() / counts_B.sum().clamp_min(1)
    if how.head_reduction == "mean":
        share_B = share_B / compared
    if not how.mse and how.row_reduction == "mean":
        share_B = share_B / rows_B.clamp_min(1)
    compared_H = torch.arange(heads, device=rows_B.device) < compared
    return share_B[:, None] * compared_H


def _norms(squares: Tensor) -> Tensor:
    """Square roots, at least EPSILON; the gradient at 0 is 0, where that of a square root is infinite."""
    return squares.clamp_min(EPSILON**2).sqrt()
