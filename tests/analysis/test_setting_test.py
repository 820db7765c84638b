"""The pooled test of a setting and intervals of means: against statsmodels, scipy and simulations."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from amad_bench.analysis.estimates import Estimate, Part, estimate_of
from amad_bench.analysis.setting_test import mean_interval, pooled, setting_test
from amad_bench.analysis.significance.weighted_t import assess
from amad_bench.plan.catalogue import METRICS

VQA = METRICS["vqa_accuracy"]


def scores(losses: int, seeds: int, *, seed_sd: float = 1.0, sd: float = 2.0, random_seed: int = 0):
    """(L, S) scores about 50 points."""
    rng = np.random.default_rng(random_seed)
    return 50 + seed_sd * rng.normal(size=(1, seeds)) + sd * rng.normal(size=(losses, seeds))


def pair_of(scores_LS, of_clusters: float = 0.0) -> Estimate:
    """The estimate of the first loss minus the second, clusters adding what is said."""
    d = scores_LS[0] - scores_LS[1]
    parts = (
        Part("seeds", float(d.var(ddof=1)) / len(d), len(d) - 1),
        Part("clusters", of_clusters, 99),
    )
    return Estimate(float(d.mean()), parts, len(d), 100, 100, 1e-9)


@pytest.mark.trap("stat-15")
def test_mean_squares_of_scores_against_statsmodels():
    values = scores(5, 3) + np.arange(5)[:, None]
    loss, seed = np.meshgrid(range(5), range(3), indexing="ij")
    frame = pd.DataFrame({"y": values.ravel(), "l": loss.ravel(), "s": seed.ravel()})
    table = anova_lm(ols("y ~ C(l) + C(s)", frame).fit())
    pool = pooled(values)
    assert pool.ms_seed == pytest.approx(table["sum_sq"]["C(s)"] / table["df"]["C(s)"])
    assert pool.ms_loss_seed == pytest.approx(table["sum_sq"]["Residual"] / table["df"]["Residual"])
    assert pool.df == table["df"]["Residual"] == 8
    with pytest.raises(ValueError, match=r"\(1, 3\)"):
        pooled(values[:1])


@pytest.mark.trap("stat-15")
def test_without_clusters_it_is_students_t_with_the_pooled_variance():
    values = scores(6, 3)
    values[1] = values[0] - 2.5 + 0.1 * np.array([-1, 0, 1])  # a pair that by itself looks too stable
    found = setting_test(pair_of(values), values, (0, 1), VQA)
    ms = pooled(values).ms_loss_seed
    t = (values[0] - values[1]).mean() / math.sqrt(2 * ms / 3)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(t), 10))
    assert found.n_losses == 6
    half_width = stats.t.isf(0.025, 10) * math.sqrt(2 * ms / 3)
    assert (found.ci_low, found.ci_high) == pytest.approx((2.5 - half_width, 2.5 + half_width))


@pytest.mark.trap("stat-15")
def test_the_guard_keeps_the_pairs_own_variance_where_it_is_larger():
    values = scores(6, 3, sd=0.5)
    values[0] = [45.0, 50.0, 58.0]
    own = pair_of(values)
    found = setting_test(own, values, (0, 1), VQA)
    t = own.value / math.sqrt(own.variance)
    assert own.variance > 2 * pooled(values).ms_loss_seed / 3
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(t), 10))


@pytest.mark.trap("stat-15")
def test_clusters_keep_their_weight():
    values = scores(6, 3)
    with_clusters = setting_test(pair_of(values, of_clusters=3.0), values, (0, 1), VQA)
    part = max(pair_of(values).variance, 2 * pooled(values).ms_loss_seed / 3)
    critical = (part * stats.t.isf(0.025, 10) + 3 * stats.t.isf(0.025, 99)) / (part + 3)
    assert (with_clusters.ci_high - with_clusters.ci_low) / 2 == pytest.approx(critical * math.sqrt(part + 3))


@pytest.mark.trap("stat-16")
def test_only_losses_that_are_like_the_pair_are_pooled():
    """m (100 - m) of a pair at 50 and 60 is 2450: 15 (1275) is pooled, 14 (1204) and 99 (99) are not."""
    level = np.array([50.0, 60.0, 15.0, 14.0, 99.0, 40.0, 70.0])
    values = level[:, None] + np.linspace(-0.1, 0.1, 3) * np.arange(1, 8)[:, None]
    found = setting_test(pair_of(values), values, (0, 1), VQA)
    assert found.n_losses == 5
    far = np.array([2.0, 60.0, 50.0, 50.0, 50.0, 50.0])[:, None] + scores(6, 3) - 50
    assert "too far apart" in setting_test(pair_of(far), far, (0, 1), VQA).trouble


@pytest.mark.trap("stat-16")
def test_where_there_is_no_pooled_test():
    values = scores(6, 3)
    pair = pair_of(values)
    for metric in ("CIDEr", "TER"):
        assert "is no share" in setting_test(pair, values, (0, 1), METRICS[metric]).trouble
    for metric in ("BLEU", "exact_match", "METEOR"):
        assert setting_test(pair, values, (0, 1), METRICS[metric]).trouble == ""
    two = setting_test(pair_of(values[:2]), values[:2], (0, 1), VQA)
    assert two.trouble == "2 degrees of freedom: 4 are needed"
    assert math.isnan(two.p_value)
    assert setting_test(pair_of(values[:3]), values[:3], (0, 1), VQA).trouble == ""
    assert setting_test(replace(pair, trouble="few clusters"), values, (0, 1), VQA).trouble == "few clusters"
    one = Estimate(1.0, (Part("clusters", 1.0, 99),), 1, 100, 100, 1e-9)
    assert "one seed" in setting_test(one, values[:, :1], (0, 1), VQA).trouble
    with pytest.raises(ValueError, match=r"\(6, 2\) and an estimate of 3 seeds"):
        setting_test(pair, values[:, :2], (0, 1), VQA)


@pytest.mark.trap("stat-16")
def test_levene_is_scipys_and_needs_three_seeds():
    values = scores(4, 5, sd=1.0) * np.array([[1], [1], [1], [1.05]])
    found = setting_test(pair_of(values), values, (0, 1), VQA)
    assert found.levene_p == pytest.approx(stats.levene(*values, center="median").pvalue)
    two = scores(6, 2)
    assert math.isnan(setting_test(pair_of(two), two, (0, 1), VQA).levene_p)


@pytest.mark.slow
@pytest.mark.trap("stat-15")
def test_equally_unstable_losses_keep_the_level_and_gain_and_an_unequal_one_does_not():
    """Three seeds, five losses, images adding a little; an unstable loss has four times the sd."""
    rng = np.random.default_rng(6)

    def rates(truth: float, unstable: float = 1.0) -> tuple[float, float]:
        """Rejections at .05 of the pooled test and of the pair's own."""
        rejected = np.zeros((1000, 2), dtype=bool)
        for row in rejected:
            values = 50 + rng.normal(size=(1, 3)) + 2 * rng.normal(size=(5, 3))
            values[0] += (unstable - 1) * 2 * rng.normal(size=3) + truth
            images = 0.5 * rng.chisquare(99) / 99
            pair = pair_of(values, of_clusters=images)
            pair = replace(pair, value=pair.value + math.sqrt(0.5) * rng.normal())
            row[:] = setting_test(pair, values, (0, 1), VQA).p_value <= 0.05, assess(pair).p_value <= 0.05
        pooled_rate, own = rejected.mean(axis=0)
        return float(pooled_rate), float(own)

    null, _ = rates(0)
    assert 0.02 <= null <= 0.06  # standard error .007
    gained, own = rates(6)
    assert gained > own + 0.2
    assert rates(0, unstable=4)[0] > 0.08


@pytest.mark.trap("stat-15")
def test_the_interval_of_a_mean_covers_it():
    """Coverage over new seeds and clusters, of the interval of one loss with a pool of five, S = 3."""
    rng, inside = np.random.default_rng(3), 0
    for _ in range(2000):
        values_LSC = 50 + 2 * rng.normal(size=(1, 3, 1)) + 2 * rng.normal(size=(5, 3, 1))
        values_LSC = values_LSC + 10 * rng.normal(size=(5, 1, 40)) + 10 * rng.normal(size=(5, 3, 40))
        first = values_LSC[0]
        own = estimate_of(float(first.mean()), first, kish=40, n_examples=40, tolerance=1e-9)
        low, high = mean_interval(own, pooled(values_LSC.mean(axis=2)))
        inside += low <= 50 <= high
    assert 0.935 <= inside / 2000 <= 0.985


@pytest.mark.trap("stat-15")
@pytest.mark.parametrize("seeds", [2, 3])
def test_the_interval_of_a_mean_without_a_pool_covers_it(seeds):
    """Where seeds vary most; with two Satterthwaite's single t covers .88."""
    rng, inside = np.random.default_rng(6), 0
    for _ in range(3000):
        table = 50 + 2 * rng.normal(size=(seeds, 1)) + 3 * rng.normal(size=(1, 40))
        table = table + 2 * rng.normal(size=(seeds, 40))
        own = estimate_of(float(table.mean()), table, kish=40, n_examples=40, tolerance=1e-9)
        low, high = mean_interval(own)
        inside += low <= 50 <= high
    assert 0.935 <= inside / 3000 <= 0.985


@pytest.mark.trap("stat-15")
def test_the_interval_of_a_mean_by_its_formula():
    table = np.random.default_rng(4).normal(size=(3, 40))
    own = estimate_of(1.0, table, kish=40, n_examples=40, tolerance=1e-9)
    pool = pooled(scores(5, 4))
    parts = [pool.ms_seed / 15, 4 * pool.ms_loss_seed / 15, own.parts[1].variance]
    df = sum(parts) ** 2 / (parts[0] ** 2 / 3 + parts[1] ** 2 / 12 + parts[2] ** 2 / 39)
    low, high = mean_interval(own, pool)
    assert (low + high) / 2 == pytest.approx(1.0)
    assert (high - low) / 2 == pytest.approx(stats.t.isf(0.025, df) * math.sqrt(sum(parts)))
    low, high = mean_interval(own)
    weighted = sum(
        part.variance * stats.t.isf(0.025, df) for part, df in zip(own.parts, (2, 39), strict=True)
    )
    assert (high - low) / 2 == pytest.approx(weighted / math.sqrt(own.variance))
    one = estimate_of(1.0, table[:1], kish=40, n_examples=40, tolerance=1e-9)
    assert mean_interval(one, pool) == pytest.approx(stats.t.interval(0.95, 39, 1.0, math.sqrt(one.variance)))
    nothing = (pytest.approx(math.nan, nan_ok=True),) * 2
    assert mean_interval(replace(own, trouble="few clusters"), pool) == nothing
    assert (
        mean_interval(estimate_of(1.0, np.ones((3, 40)), kish=40, n_examples=40, tolerance=1e-9)) == nothing
    )
