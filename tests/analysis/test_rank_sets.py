"""Ranks that comparisons leave open, by hand."""

import numpy as np
import pytest

from amad_bench.analysis.rank_sets import rank_sets


@pytest.mark.trap("stat-18")
def test_rank_sets_by_hand():
    """Of a, b, c, d: a is better than c and d, b is better than d, c and d were not compared."""
    mean = np.array([4.0, 3.0, 2.0, 1.0])
    nan = np.nan
    p = np.array(
        [[nan, 0.3, 0.01, 0.05], [0.3, nan, 0.2, 0.04], [0.01, 0.2, nan, nan], [0.05, 0.04, nan, nan]]
    )
    best, worst = rank_sets(mean[:, None] - mean, p)
    assert (best.tolist(), worst.tolist()) == ([1, 1, 2, 3], [2, 3, 4, 4])
    best, worst = rank_sets(mean[:, None] - mean, p, higher_is_better=False)
    assert (best.tolist(), worst.tolist()) == ([3, 2, 1, 1], [4, 4, 3, 2])
    best, worst = rank_sets(mean[:, None] - mean, p, level=0.001)
    assert (best.tolist(), worst.tolist()) == ([1] * 4, [4] * 4)
