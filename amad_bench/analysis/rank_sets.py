"""Ranks that a family of comparisons leaves open: what may be said in place of a ranking by means.

Axes: L losses.
"""

import numpy as np
from numpy.typing import NDArray

from amad_bench.analysis.influence import Floats
from amad_bench.analysis.significance.outcome import ALPHA

Ranks = NDArray[np.int64]


def rank_sets(
    difference_LL: Floats, p_LL: Floats, *, higher_is_better: bool = True, level: float = ALPHA
) -> tuple[Ranks, Ranks]:
    """(best rank, worst rank) of each loss: 1 + losses significantly better ... L - losses that are worse.

    difference_LL: score of the row's loss minus that of the column's. p_LL: two-sided, adjusted in their
    family; NaN where nothing was tested.
    """
    better_LL = (p_LL <= level) & ((difference_LL > 0) if higher_is_better else (difference_LL < 0))
    return 1 + better_LL.sum(axis=0), len(better_LL) - better_LL.sum(axis=1)
