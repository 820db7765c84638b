"""Mean squares by hand and against statsmodels."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from amad_bench.analysis.mean_squares import three_way, two_way


@pytest.mark.trap("stat-4")
def test_two_way_by_hand():
    # means of rows (seeds) 2, 4, of columns (clusters) 1, 3, 5; residuals ±1 in the first two columns
    squares = two_way(np.array([[1.0, 1.0, 4.0], [1.0, 5.0, 6.0]]))
    assert squares.seed == pytest.approx(3 * (1 + 1) / 1)
    assert squares.cluster == pytest.approx(2 * (4 + 0 + 4) / 2)
    assert squares.error == pytest.approx((1 + 1 + 0 + 1 + 1 + 0) / 2)


@pytest.mark.trap("stat-4")
def test_two_way_against_statsmodels():
    values = np.random.default_rng(1).normal(size=(6, 9)) + np.arange(6)[:, None] + np.arange(9) ** 0.5
    seed, cluster = np.meshgrid(range(6), range(9), indexing="ij")
    frame = pd.DataFrame({"y": values.ravel(), "s": seed.ravel(), "c": cluster.ravel()})
    table = anova_lm(ols("y ~ C(s) + C(c)", frame).fit())
    expected = table["sum_sq"] / table["df"]
    squares = two_way(values)
    assert squares.seed == pytest.approx(expected["C(s)"])
    assert squares.cluster == pytest.approx(expected["C(c)"])
    assert squares.error == pytest.approx(expected["Residual"])


@pytest.mark.trap("stat-17")
def test_three_way_against_statsmodels():
    rng = np.random.default_rng(4)
    values = rng.normal(size=(3, 4, 6)) + rng.normal(size=(3, 1, 6)) + rng.normal(size=(3, 4, 1))
    loss, seed, cluster = np.meshgrid(range(3), range(4), range(6), indexing="ij")
    frame = pd.DataFrame({"y": values.ravel(), "l": loss.ravel(), "s": seed.ravel(), "c": cluster.ravel()})
    table = anova_lm(ols("y ~ C(l) * C(s) + C(l) * C(c)", frame).fit())
    expected = table["sum_sq"] / table["df"]
    squares = three_way(values)
    named = ("C(s)", "C(l):C(s)", "C(c)", "C(l):C(c)", "Residual")
    found = (squares.seed, squares.loss_seed, squares.cluster, squares.loss_cluster, squares.error)
    assert found == pytest.approx([expected[name] for name in named])
    assert squares.df == tuple(table["df"][list(named)])


def test_leading_axes_are_independent_tables():
    tables = np.random.default_rng(2).normal(size=(4, 3, 5, 7))
    together = two_way(tables)
    assert together.error.shape == (4, 3)
    assert together.cluster[2, 1] == pytest.approx(two_way(tables[2, 1]).cluster)


def test_one_seed_has_the_variance_of_its_clusters():
    values = np.random.default_rng(3).normal(size=(1, 30))
    squares = two_way(values)
    assert squares.cluster == pytest.approx(values.var(ddof=1))
    assert (squares.seed, squares.error) == (0, 0)


def test_one_cluster_is_refused():
    with pytest.raises(ValueError, match=r"\(3, 1\).*two or more clusters"):
        two_way(np.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"\(1, 3, 9\).*two or more losses"):
        three_way(np.zeros((1, 3, 9)))
