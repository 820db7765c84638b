"""compare(): p and interval against scipy, order of statements, errors, and the error rate under nulls."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from amad_bench.analysis.comparisons import compare, decide, estimate, holm, holm_level, not_testable
from amad_bench.analysis.influence import influence_of_mean
from amad_bench.analysis.significance.crossed import crossed_effects


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def ratio(sums):
    return sums[..., 0] / sums[..., 1]


@pytest.mark.trap("stat-5")
def test_t_and_p_from_the_mean_squares_of_a_hand_worked_table():
    # d of test_crossed.test_mean_squares_by_hand: mean 3, variance 2, df 1; t of one df is Cauchy
    result = compare([[1.0, 1.0, 4.0], [1.0, 5.0, 6.0]], np.zeros((2, 3)))
    assert result.difference == 3
    assert result.p_value == pytest.approx(2 * stats.cauchy.sf(3 / math.sqrt(2)))
    assert result.ci_high == pytest.approx(3 + stats.cauchy.ppf(0.975) * math.sqrt(2))
    assert (result.df, result.n_seeds, result.n_examples, result.n_clusters) == (1, 2, 3, 3)


def test_seed_effects_alone_are_a_paired_t_test_over_seeds(rng):
    effect = rng.normal(0.5, 1, (6, 1))
    shared = rng.normal(size=(6, 50))
    result = compare(shared + effect, shared)
    oracle = stats.ttest_1samp(effect[:, 0], 0)
    assert result.p_value == pytest.approx(oracle.pvalue)
    assert result.df == pytest.approx(5)
    low, high = oracle.confidence_interval()
    assert (result.ci_low, result.ci_high) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.trap("stat-6")
def test_one_seed_is_a_t_test_over_the_means_of_equal_clusters(rng):
    a, b = rng.normal(0.3, 1, (1, 80)), rng.normal(0, 1, (1, 80))
    result = compare(a, b, clusters=np.repeat(np.arange(20), 4))
    oracle = stats.ttest_1samp((a - b).reshape(20, 4).mean(axis=1), 0)
    assert result.p_value == pytest.approx(oracle.pvalue)
    assert result.df == 19
    assert result.scope == "this pair of runs"
    assert math.isnan(result.effect_in_seed_sd)
    assert "clusters only" in result.method


def test_difference_is_the_mean_over_examples_whatever_the_clusters(rng):
    a, b = rng.normal(size=(4, 60)), rng.normal(size=(4, 60))
    result = compare(a, b, clusters=rng.integers(0, 9, 60))
    assert result.difference == pytest.approx(np.mean(a - b))
    assert (result.ci_low + result.ci_high) / 2 == pytest.approx(result.difference)
    assert result.scope == "this teacher"


def test_swapping_the_systems_turns_everything_round(rng):
    a, b = rng.normal(1, 1, (5, 40)), rng.normal(0, 1, (5, 40))
    there, back = compare(a, b), compare(b, a)
    assert (there.statement, back.statement) == ("better", "worse")
    assert there.difference == pytest.approx(-back.difference)
    assert there.ci_low == pytest.approx(-back.ci_high)
    assert there.p_value == pytest.approx(back.p_value)
    assert there.p_superiority == pytest.approx(1 - back.p_superiority)


def test_less_is_better_where_the_scores_say_so(rng):
    """Only what is good turns round: statement and superiority. A minus B stays A minus B."""
    a, b = rng.normal(0, 1, (5, 40)), rng.normal(1, 1, (5, 40))
    more, less = compare(a, b), compare(a, b, higher_is_better=False)
    assert (more.statement, less.statement) == ("worse", "better")
    assert less.p_superiority == 1 - more.p_superiority > 0.9
    assert compare(b, a, higher_is_better=False).statement == "worse"
    for column in ("difference", "ci_low", "ci_high", "p_value", "effect_in_seed_sd", "reason"):
        assert getattr(less, column) == getattr(more, column)
    assert decide(less, 0.01, 0.05).statement == "better"
    assert compare(a, a.copy(), higher_is_better=False).p_superiority == 0.5
    assert compare(a, b, region=5.0, higher_is_better=False).statement == "equivalent"


@pytest.mark.trap("stat-7")
@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_identical_systems_have_p_one(rng, seeds):
    a = rng.normal(size=(seeds, 30))
    result = compare(a, a.copy())
    assert (result.p_value, result.difference, result.p_superiority) == (1.0, 0.0, 0.5)
    assert result.statement == "inconclusive"
    assert compare(a, a.copy(), region=0.1).statement == "equivalent"


@pytest.mark.trap("stat-7")
def test_the_same_difference_everywhere_is_not_testable(rng):
    a = rng.normal(size=(3, 30))
    for region in (None, 10.0):
        result = compare(a + 0.1, a, region=region)
        assert result.statement == "not testable"
        assert "no variation" in result.reason
        assert math.isnan(result.p_value)
        assert math.isnan(result.ci_low)
        assert result.difference == pytest.approx(0.1)


@pytest.mark.trap("stat-7")
def test_one_cluster_is_not_testable(rng):
    result = compare(rng.normal(size=(3, 9)), rng.normal(size=(3, 9)), clusters=["one image"] * 9)
    assert result.statement == "not testable"
    assert "one cluster" in result.reason


@pytest.mark.trap("stat-10")
def test_statements_in_order(rng):
    shared = rng.normal(size=(10, 200))
    noise = rng.normal(0, 0.1, (10, 200))
    slightly_better = compare(shared + noise + 0.05, shared)
    assert slightly_better.statement == "better"
    assert "p = " in slightly_better.reason
    assert compare(shared + noise + 0.05, shared, region=0.2).statement == "equivalent"  # before "better"
    assert compare(shared + noise - 0.05, shared, region=0.01).statement == "worse"


@pytest.mark.trap("stat-11")
def test_inconclusive_names_the_smallest_difference_that_could_have_been_shown(rng):
    result = compare(rng.normal(size=(5, 40)), rng.normal(size=(5, 40)))
    assert result.statement == "inconclusive"
    smallest = float(result.reason.split()[-1])
    assert smallest == pytest.approx((result.ci_high - result.ci_low) / 2, rel=0.01)


def test_superiority_and_effect_size_by_hand():
    a, b = np.array([[1.0, 3.0], [3.0, 5.0]]), np.array([[1.0, 1.0], [3.0, 1.0]])  # runs 2, 4 against 1, 2
    result = compare(a, b)
    assert result.p_superiority == (1 + 0.5 + 1 + 1) / 4
    assert result.effect_in_seed_sd == pytest.approx(1.5 / math.sqrt((2 + 0.5) / 2))


def test_a_corpus_metric_that_is_a_mean_gives_the_numbers_of_a_mean(rng):
    a, b = rng.normal(1, 1, (4, 60)), rng.normal(0.8, 1, (4, 60))
    clusters, ones = np.repeat(np.arange(15), 4), np.ones((4, 60))
    direct = compare(a, b, clusters=clusters)
    corpus = compare(np.stack([a, ones], -1), np.stack([b, ones], -1), clusters=clusters, statistic=ratio)
    assert corpus.p_value == pytest.approx(direct.p_value)
    assert corpus.difference == pytest.approx(direct.difference)
    assert corpus.effect_in_seed_sd == pytest.approx(direct.effect_in_seed_sd)
    assert "jackknife" in corpus.method


@pytest.mark.trap("stat-3")
def test_corpus_difference_is_the_plug_in_score(rng):
    a, b = rng.uniform(1, 2, (3, 40, 2)), rng.uniform(1, 2, (3, 40, 2))
    expected = np.mean([ratio(a[seed].sum(0)) - ratio(b[seed].sum(0)) for seed in range(3)])
    assert compare(a, b, statistic=ratio).difference == pytest.approx(expected)
    same = compare(a, a.copy(), statistic=ratio)
    assert (same.p_value, same.statement) == (1.0, "inconclusive")


@pytest.mark.trap("stat-7")
def test_a_score_that_is_undefined_without_one_cluster_is_not_testable():
    statistics = np.zeros((2, 3, 2))
    statistics[:, 0] = [2.0, 4.0]

    def guarded(sums):
        return np.divide(
            sums[..., 0], sums[..., 1], out=np.full(sums.shape[:-1], np.nan), where=sums[..., 1] > 0
        )

    result = compare(statistics, statistics.copy(), statistic=guarded)
    assert result.statement == "not testable"
    assert "left out" in result.reason


def test_errors_name_the_shapes(rng):
    a = rng.normal(size=(3, 10))
    with pytest.raises(ValueError, match=r"\(3, 10\).*\(3, 9\)"):
        compare(a, a[:, :9])
    with pytest.raises(ValueError, match=r"clusters has shape \(9,\).*\(3, 10\)"):
        compare(a, a, clusters=np.arange(9))
    with pytest.raises(ValueError, match=r"\(10,\).*\(seeds, examples\)"):
        compare(a[0], a[0])
    with pytest.raises(ValueError, match=r"\(3, 10\).*\(seeds, examples, statistics\)"):
        compare(a, a, statistic=ratio)
    with pytest.raises(ValueError, match=r"\(3, 0\)"):
        compare(a[:, :0], a[:, :0])
    with pytest.raises(ValueError, match="region is 0"):
        compare(a, a, region=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_values_that_are_not_finite_are_refused(rng, bad, which):
    arrays = [rng.normal(size=(3, 10)), rng.normal(size=(3, 10))]
    arrays[which][1, 2] = bad
    with pytest.raises(ValueError, match=r"(a|b) of shape \(3, 10\) holds 1 values that are not finite"):
        compare(*arrays)


def test_estimate_is_a_comparison_with_nothing(rng):
    a = rng.normal(60, 5, (5, 40))
    mean, low, high = estimate(a, clusters=np.repeat(np.arange(10), 4))
    against_zero = compare(a, np.zeros_like(a), clusters=np.repeat(np.arange(10), 4))
    assert (mean, low, high) == (
        pytest.approx(a.mean()),
        pytest.approx(against_zero.ci_low),
        pytest.approx(against_zero.ci_high),
    )


def test_estimate_without_variation_has_no_interval():
    for value in (0.0, 100.0):
        mean, low, high = estimate(np.full((2, 10), value))
        assert mean == value
        assert math.isnan(low)
        assert math.isnan(high)


@pytest.mark.trap("stat-9")
def test_holm_against_statsmodels(rng):
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


def test_decide_uses_the_adjusted_p_and_keeps_what_is_not_testable(rng):
    shared = rng.normal(size=(6, 50))
    comparison = compare(shared + rng.normal(0.1, 0.2, (6, 1)) + rng.normal(0, 0.1, (6, 50)), shared)
    comparison = dataclasses.replace(comparison, p_value=0.03)
    assert decide(comparison, 0.04, 0.05).statement == "better"
    undecided = decide(comparison, 0.06, 0.025)
    assert undecided.statement == "inconclusive"
    wider = stats.t.ppf(1 - 0.0125, comparison.df) / stats.t.ppf(0.975, comparison.df)
    half_width = (comparison.ci_high - comparison.ci_low) / 2
    assert float(undecided.reason.split()[-1]) == pytest.approx(half_width * wider, rel=0.01)
    refused = not_testable(comparison, "too few")
    assert decide(refused, 0.001, 0.05) == refused
    assert math.isnan(refused.p_value)


# ---------------------------------------------------------------------------------- simulated nulls
CLUSTERS = 200


def rejections(seeds, seed_sd, cluster_sd, *, repetitions, truth=0.0, sizes=None, random_seed=0):
    """Share of p <= .05 among simulated comparisons: d = truth + a_s + b_c + e, e per example with sd 1."""
    rng = np.random.default_rng(random_seed)
    clusters = np.arange(CLUSTERS) if sizes is None else np.repeat(np.arange(CLUSTERS), sizes)
    rejected, done = 0, 0
    while done < repetitions:
        chunk = min(500, repetitions - done)
        d = rng.standard_normal((chunk, seeds, len(clusters)))
        d += truth + seed_sd * rng.standard_normal((chunk, seeds, 1))
        d += (cluster_sd * rng.standard_normal((chunk, 1, CLUSTERS)))[..., clusters]
        effects = crossed_effects(influence_of_mean(d, clusters))
        t = np.abs(d.mean(axis=(-2, -1))) / np.sqrt(effects.variance)
        rejected += int(np.sum(2 * stats.t.sf(t, effects.df) <= 0.05))
        done += chunk
    return rejected / repetitions


@pytest.mark.trap("stat-8")
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_null_rejections(seeds):
    assert rejections(seeds, 0.15, 0.3, repetitions=20_000) <= 0.06  # standard error .0016


def test_the_simulation_is_of_what_compare_computes(rng):
    d, clusters = rng.normal(size=(4, 90)), np.repeat(np.arange(30), 3)
    effects = crossed_effects(influence_of_mean(d[None], clusters))
    t = abs(d.mean()) / math.sqrt(effects.variance[0])
    assert compare(d, np.zeros_like(d), clusters=clusters).p_value == pytest.approx(
        2 * stats.t.sf(t, effects.df[0])
    )


def test_power_rises_with_the_difference():
    power = [rejections(5, 0.15, 0.3, truth=truth, repetitions=1000) for truth in (0.0, 0.1, 0.2, 0.4)]
    assert np.all(np.diff(power) > 0.05)
    assert power[-1] > 0.9


@pytest.mark.trap("stat-8")
@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(("seed_sd", "cluster_sd"), [(0.0, 0.3), (0.05, 0.3), (0.5, 0.3), (0.3, 1.0)])
def test_null_rejections_over_effects(seeds, seed_sd, cluster_sd):
    assert rejections(seeds, seed_sd, cluster_sd, repetitions=20_000, random_seed=1) <= 0.06


@pytest.mark.trap("stat-8")
@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_null_rejections_with_unequal_clusters(seeds):
    sizes = np.random.default_rng(0).geometric(0.3, CLUSTERS)
    assert rejections(seeds, 0.15, 0.3, repetitions=10_000, sizes=sizes, random_seed=2) <= 0.06
