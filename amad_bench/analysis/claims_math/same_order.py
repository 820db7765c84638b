"""Whether losses keep their order at another budget: pairs separated at one are separated alike there."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from amad_bench.analysis.significance.outcome import ALPHA

Kept = Literal["supported", "contradicted", "inconclusive", "not testable here"]


@dataclass(frozen=True)
class Order:
    """verdict on "the order is the same"; the numbers of the pairs that it rests on, and why.

    separated: at the first budget; same: those that are separated with the same sign at the second; reversed:
    those that are separated with the other sign there.
    """

    verdict: Kept
    reason: str
    separated: tuple[int, ...] = ()
    same: tuple[int, ...] = ()
    reversed: tuple[int, ...] = ()


def same_order(
    differences: tuple[ArrayLike, ArrayLike], p_values: tuple[ArrayLike, ArrayLike], level: float = ALPHA
) -> Order:
    """Whether P pairs that are separated at one budget are separated with the same sign at another.

    differences, p_values: of the first and the second budget, (P,) each; two-sided p, NaN: not testable.
    Supported: every pair that is separated at the first is so at the second; contradicted: one is reversed
    significantly; none separated: inconclusive. ValueError for numbers of pairs that differ.
    """
    (first_P, second_P), (p_first_P, p_second_P) = (
        [np.asarray(values, dtype=np.float64) for values in both] for both in (differences, p_values)
    )
    shapes = {values.shape for values in (first_P, second_P, p_first_P, p_second_P)}
    if len(shapes) > 1 or first_P.ndim != 1:
        raise ValueError(f"shapes {sorted(shapes)}: one difference and p per pair and budget are needed")
    separated_P, again_P = p_first_P <= level, p_second_P <= level
    alike_P = np.sign(first_P) == np.sign(second_P)
    groups = (separated_P, separated_P & again_P & alike_P, separated_P & again_P & ~alike_P)
    found = [tuple(np.flatnonzero(group).tolist()) for group in groups]
    separated, same, turned = (len(pairs) for pairs in found)
    counts = f"{same} of {separated} separated pairs are separated alike"
    if np.isnan(p_first_P).all() or np.isnan(p_second_P[separated_P]).any():
        return Order("not testable here", "some pair is not testable at both budgets", *found)
    if turned:
        return Order("contradicted", f"{turned} of {separated} separated pairs are reversed", *found)
    if not separated:
        return Order("inconclusive", "no pair is separated at the first budget", *found)
    return Order("supported" if same == separated else "inconclusive", counts, *found)
