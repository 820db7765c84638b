"""Holm's (1979) adjustment of the p-values of a family."""

import numpy as np
from numpy.typing import ArrayLike

from amad_bench.analysis.influence import Floats
from amad_bench.analysis.significance.outcome import ALPHA


def holm(p_values: ArrayLike) -> Floats:
    """The adjusted p-values of one family; NaN (not testable) stays NaN and does not count."""
    p = np.asarray(p_values, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    adjusted = np.full_like(p, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted


def holm_level(adjusted: Floats) -> float:
    """The raw p that one more comparison of the family would have needed: ALPHA over those not rejected."""
    return ALPHA / max(1, int(np.sum(adjusted > ALPHA)))
