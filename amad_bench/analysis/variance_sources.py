"""Sources of the variance of a run's score, in one setting.

Axes: L losses, S seeds, C clusters (images).
"""

import math
from dataclasses import dataclass

from amad_bench.analysis.influence import Floats
from amad_bench.analysis.mean_squares import three_way


@dataclass(frozen=True)
class Source:
    """A source of variance.

    ms, df: mean square of the influence values and its degrees of freedom. F: over the mean square that it
    would have without an effect; NaN of the residual. share: of the variance of one run's score about its
    loss's mean, 0 to 1. sd: what the source adds to that score, as a standard deviation in its units.
    """

    source: str
    ms: float
    df: int
    F: float
    share: float
    sd: float


def variance_sources(influence_LSC: Floats) -> list[Source]:
    """Sources of the scores of L losses with S seeds each on C clusters, losses fixed, the others drawn.

    Variances by the mean squares that crossed random effects expect, 0 where negative. The residual is seed x
    image. ValueError below two losses, seeds or clusters.
    """
    losses, seeds, clusters = influence_LSC.shape
    squares = three_way(influence_LSC)
    rows = (
        ("seed", squares.seed, squares.loss_seed, losses * clusters),
        ("loss x seed", squares.loss_seed, squares.error, clusters),
        ("image", squares.cluster, squares.loss_cluster, losses * seeds * clusters),
        ("loss x image", squares.loss_cluster, squares.error, seeds * clusters),
        ("residual", squares.error, 0.0, clusters),
    )
    variances = [max(own - without, 0.0) / count for _, own, without, count in rows]
    total = sum(variances)
    return [
        Source(
            name,
            own,
            df,
            own / without if without > 0 else math.nan,
            variance / total if total > 0 else math.nan,
            math.sqrt(variance),
        )
        for (name, own, without, _), df, variance in zip(rows, squares.df, variances, strict=True)
    ]
