"""In how many of several blocks an effect is there, by partial conjunction.

Source: Benjamini and Heller (2008), Screening for partial conjunction hypotheses, Biometrics 64.
"""

import numpy as np
from numpy.typing import ArrayLike

from amad_bench.analysis.significance.outcome import ALPHA


def n_better(p_values: ArrayLike, level: float = ALPHA) -> int:
    """The k of "better in at least k of N", at this level of error.

    p_values: (N,) one-sided p of independent blocks, all in the same direction. With p_(u) the u-th smallest,
    p(u) = (N - u + 1) p_(u); k is the largest u for which p(1), ..., p(u) are all at most `level`, or 0.
    ValueError for a p outside of [0, 1].
    """
    p_N = np.sort(np.asarray(p_values, dtype=np.float64))
    if not ((p_N >= 0) & (p_N <= 1)).all():
        raise ValueError(f"p-values {p_N.tolist()}: each between 0 and 1")
    highest_N = np.maximum.accumulate(p_N * np.arange(len(p_N), 0, -1))
    return int((highest_N <= level).sum())
