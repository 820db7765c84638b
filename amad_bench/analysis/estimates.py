"""An estimate with the parts of its variance: what a test of significance is given.

Axes: S seeds, C clusters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from amad_bench.analysis.influence import Floats
from amad_bench.analysis.mean_squares import TwoWay, two_way

SEEDS = "seeds"
CLUSTERS = "clusters"
FEWEST_CLUSTERS = 10  # of equal size (Kish): with fewer the t over clusters does not hold its level


@dataclass(frozen=True)
class Part:
    """A part of the variance of an estimate and its degrees of freedom. source: what varies."""

    source: str
    variance: float
    df: float


@dataclass(frozen=True)
class Estimate:
    """A number with its variance, in the units of the scores.

    parts: independent parts, whose sum is the variance. tolerance: what is smaller is no variation. trouble:
    why no test can say anything about it, or "".
    """

    value: float
    parts: tuple[Part, ...]
    n_seeds: int
    n_examples: int
    n_clusters: int
    tolerance: float
    trouble: str = ""

    @property
    def variance(self) -> float:
        return sum(part.variance for part in self.parts)

    @property
    def varies(self) -> bool:
        return math.sqrt(self.variance) > self.tolerance

    def df(self, source: str) -> float:
        """Degrees of freedom of the part with this source; NaN without one, or with several."""
        found = [part.df for part in self.parts if part.source == source]
        return found[0] if len(found) == 1 else math.nan


def variance_parts(squares: TwoWay, seeds: int, clusters: int) -> tuple[Floats, Floats]:
    """(w_s, w_c): what seeds and clusters add to the variance of the grand mean of such a table.

    w_s = MS_s / (S C), w_c = max(MS_c - MS_e, 0) / (S C). One seed: 0 and MS_c / C.
    """
    count = seeds * clusters
    return squares.seed / count, np.maximum(squares.cluster - squares.error, 0.0) / count


def estimate_of(
    value: float, influence_SC: Floats, *, kish: float, n_examples: int, tolerance: float
) -> Estimate:
    """The estimate whose influence values (S, C) these are.

    value: itself, from scores, not from pseudo-values. kish: effective number of clusters, which gives the
    degrees of freedom of what clusters add. Not testable: fewer than ten of them, and a score that is
    undefined when a cluster is left out.
    """
    seeds, clusters = influence_SC.shape
    parts: tuple[Part, ...] = ()
    if kish < FEWEST_CLUSTERS:
        counted = f"{kish:.3g} effective clusters (of {clusters})"
        trouble = f"{counted}: {FEWEST_CLUSTERS} are needed to tell how much clusters of examples vary"
    elif not np.isfinite(influence_SC).all():
        trouble = "the score is undefined when one of the clusters is left out"
    else:
        trouble = ""
        of_seeds, of_clusters = (
            float(part) for part in variance_parts(two_way(influence_SC), seeds, clusters)
        )
        parts = (Part(CLUSTERS, of_clusters, kish - 1),)
        if seeds > 1:
            parts = (Part(SEEDS, of_seeds, seeds - 1), *parts)
    return Estimate(value, parts, seeds, n_examples, clusters, tolerance, trouble)


def added(estimates: Sequence[Estimate]) -> Estimate:
    """The sum of independent estimates: on other images, with other seeds.

    Values and variances add; seeds are those of the one with the fewest; the first trouble is the sum's.
    """
    return Estimate(
        sum(one.value for one in estimates),
        tuple(part for one in estimates for part in one.parts),
        min(one.n_seeds for one in estimates),
        sum(one.n_examples for one in estimates),
        sum(one.n_clusters for one in estimates),
        max(one.tolerance for one in estimates),
        next((one.trouble for one in estimates if one.trouble), ""),
    )
