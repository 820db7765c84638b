"""Mean squares against statsmodels and by hand. (The t-test: test_comparisons.)"""

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from amad_bench.analysis.significance.crossed import crossed_effects


@pytest.mark.trap("stat-4")
def test_mean_squares_by_hand():
    # means of rows (seeds) 2, 4, of columns (clusters) 1, 3, 5; residuals ±1 in the first two columns
    effects = crossed_effects(np.array([[1.0, 1.0, 4.0], [1.0, 5.0, 6.0]]))
    assert effects.ms_seed == pytest.approx(3 * (1 + 1) / 1)
    assert effects.ms_cluster == pytest.approx(2 * (4 + 0 + 4) / 2)
    assert effects.ms_error == pytest.approx((1 + 1 + 0 + 1 + 1 + 0) / 2)
    assert effects.variance == pytest.approx((6 + 8 - 2) / 6)
    assert effects.df == 1  # 2**2 / (1/1 + (8/6)**2/2 + (2/6)**2/2) = 2.06, capped at S - 1


@pytest.mark.trap("stat-4")
def test_mean_squares_against_statsmodels():
    values = np.random.default_rng(1).normal(size=(6, 9)) + np.arange(6)[:, None] + np.arange(9) ** 0.5
    seed, cluster = np.meshgrid(range(6), range(9), indexing="ij")
    frame = pd.DataFrame({"y": values.ravel(), "s": seed.ravel(), "c": cluster.ravel()})
    table = anova_lm(ols("y ~ C(s) + C(c)", frame).fit())
    squares = table["sum_sq"] / table["df"]
    effects = crossed_effects(values)
    assert effects.ms_seed == pytest.approx(squares["C(s)"])
    assert effects.ms_cluster == pytest.approx(squares["C(c)"])
    assert effects.ms_error == pytest.approx(squares["Residual"])
    shares = squares.to_numpy() / values.size
    variance = shares[0] + shares[1] - shares[2]
    assert effects.variance == pytest.approx(variance)
    assert effects.df == pytest.approx(variance**2 / np.sum(shares**2 / table["df"]))


def test_leading_axes_are_independent_tables():
    tables = np.random.default_rng(2).normal(size=(4, 3, 5, 7))
    together = crossed_effects(tables)
    assert together.variance.shape == (4, 3)
    assert together.df[2, 1] == pytest.approx(crossed_effects(tables[2, 1]).df)


def test_one_cluster_is_refused():
    with pytest.raises(ValueError, match=r"\(3, 1\).*two or more clusters"):
        crossed_effects(np.zeros((3, 1)))
