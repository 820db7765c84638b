"""The difference that a design shows: what a test would find with a given power.

Source: noncentral t with Satterthwaite's (1946) degrees of freedom of the whole variance.
"""

import math
from collections.abc import Sequence

from scipy import stats
from scipy.optimize import root_scalar

from amad_bench.analysis.estimates import Part
from amad_bench.analysis.significance.outcome import ALPHA
from amad_bench.analysis.significance.weighted_t import critical_value

POWER = 0.8


def satterthwaite_df(parts: Sequence[Part]) -> float:
    """Degrees of freedom of the sum of the parts: V^2 / sum of w_i^2 / df_i; NaN without variance."""
    spread = sum(part.variance**2 / part.df for part in parts)
    return sum(part.variance for part in parts) ** 2 / spread if spread > 0 else math.nan


def shown_difference(parts: Sequence[Part], level: float = ALPHA, power: float = POWER) -> float:
    """The true difference, in the units of the scores, that the test at `level` finds with this power.

    parts: of the variance, as in an estimate. Not the critical difference, which is found in half of the
    cases. NaN without variance.
    """
    df = satterthwaite_df(parts)
    if math.isnan(df):
        return math.nan
    critical = critical_value(parts, level)

    def missing(effect: float) -> float:
        return power - float(stats.nct.sf(critical, df, effect))

    highest = critical + 1.0
    while missing(highest) > 0:
        highest *= 2
    effect = root_scalar(missing, bracket=(0.0, highest), method="brentq", xtol=1e-10).root
    return effect * math.sqrt(sum(part.variance for part in parts))
