"""Holm's adjustment against statsmodels."""

import math

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from amad_bench.analysis.holm import holm, holm_level


@pytest.mark.trap("stat-9")
def test_holm_against_statsmodels():
    rng = np.random.default_rng(11)
    for size in (1, 2, 7, 20):
        p = rng.uniform(0, 0.2, size) ** 2
        np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])


@pytest.mark.trap("stat-9")
def test_holm_leaves_out_what_could_not_be_tested():
    np.testing.assert_allclose(holm([0.02, math.nan, 0.03]), [0.04, math.nan, 0.04])
    assert holm([]).shape == (0,)


@pytest.mark.parametrize("p", [[0.001, 0.02, 0.03], [0.2, 0.3], [0.001, 0.002], [0.01, 0.02, 0.5]])
def test_holm_level_is_the_p_at_which_a_contrast_would_have_been_rejected(p):
    level = holm_level(holm(p))
    for number, adjusted in enumerate(holm(p)):
        if adjusted > 0.05:
            assert holm([*p[:number], level, *p[number + 1 :]])[number] <= 0.05
            assert holm([*p[:number], level * 1.01, *p[number + 1 :]])[number] > 0.05
