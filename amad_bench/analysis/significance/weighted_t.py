"""The t-test of an estimate whose variance has several parts, against the weighted quantile of their t's.

t* = sum of w_i t(df_i) / V, V = sum of w_i. Source: Cochran and Cox (1950), Experimental Designs, 4.14.
Satterthwaite's single t is too light in the tail that families use. So is the weighted quantile
with a part of one degree of freedom (two seeds: 3 x nominal at .05/13): then all of it is t(1).
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import special
from scipy.optimize import root_scalar

from amad_bench.analysis.estimates import Estimate, Part
from amad_bench.analysis.influence import Floats
from amad_bench.analysis.significance.outcome import ALPHA, Outcome, one_sided_p

NO_VARIATION = "no variation between seeds or clusters: nothing to hold the difference against"
SMALLEST = 1e-150  # p-values end there: further out scipy loses the quantiles of some t


def assess(estimate: Estimate, level: float = ALPHA) -> Outcome:
    """Two-sided test against 0, and the interval at `level`.

    Without variation there is no interval, and p is 1 where the estimate is 0; else it is not testable.
    """
    if trouble := _trouble(estimate):
        return Outcome(trouble=trouble)
    if not estimate.varies:
        return Outcome(p_value=1.0)
    critical = critical_value(estimate.parts, level)
    error = math.sqrt(estimate.variance)
    low, high = estimate.value - critical * error, estimate.value + critical * error
    return Outcome(low, high, two_sided(abs(estimate.value) / error, estimate.parts), critical)


def one_sided(estimate: Estimate, direction: float) -> float:
    """p of the hypothesis that the estimate is 0 or has the sign opposite to `direction`.

    NaN where the estimate is not testable.
    """
    return one_sided_p(assess(estimate).p_value, estimate.value * direction)


def critical_value(parts: Sequence[Part], level: float) -> float:
    """t*: what |estimate| over its standard error exceeds with probability `level`, about."""
    variances = np.array([part.variance for part in parts])
    return float(weighted_quantile(variances, np.array([part.df for part in parts]), level))


def weighted_quantile(variances_P: Floats, df_P: Floats, level: float) -> Floats:
    """t* of (..., P) parts of a variance with (P,) degrees of freedom; NaN without variance.

    The quantile of the lower tail with its sign turned: that of 1 - level / 2 loses the tail. (It is scipy's
    `t.isf`, without what makes that thirty times slower.)
    """
    quantile_P = -special.stdtrit(1.0 if (df_P == 1).any() else df_P, level / 2)
    total = variances_P.sum(axis=-1)
    weighted = np.sum(variances_P * quantile_P, axis=-1)
    return np.divide(weighted, total, out=np.full(np.shape(total), np.nan), where=total > 0)


def two_sided(t: float, parts: Sequence[Part]) -> float:
    """The level at which t* is `t`, to twelve digits in the tail, too; not below 1e-150."""

    def above(log_p: float) -> float:
        return critical_value(parts, math.exp(log_p)) - t

    lowest = math.log(SMALLEST)
    if t <= 0:
        return 1.0
    if above(lowest) <= 0:
        return SMALLEST
    return math.exp(root_scalar(above, bracket=(lowest, 0.0), method="brentq", xtol=1e-13, rtol=1e-14).root)


def _trouble(estimate: Estimate) -> str:
    if estimate.trouble:
        return estimate.trouble
    return "" if estimate.varies or abs(estimate.value) <= estimate.tolerance else NO_VARIATION
