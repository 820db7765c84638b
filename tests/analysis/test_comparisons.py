"""compare(): p and interval against scipy, order of statements, errors. (Error rates: significance/.)"""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from amad_bench.analysis.comparisons import compare, decide, not_testable, verdict
from amad_bench.analysis.shown import shown_difference


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def ratio(sums):
    return sums[..., 0] / sums[..., 1]


@pytest.mark.trap("stat-5")
def test_t_and_p_from_the_mean_squares_of_a_hand_worked_table():
    """Mean squares 30, 21, 1 of three seeds and ten clusters: w_s = 1, w_c = 20/30, V = 5/3."""
    of_seed = np.array([-1.0, 0.0, 1.0]) * math.sqrt(3)  # MS_s = 10 * 6 / 2
    of_cluster = np.array([-1.0, 1.0] * 5) * math.sqrt(6.3)  # MS_c = 3 * 63 / 9
    left = np.outer([1.0, 0.0, -1.0], [1.0] * 5 + [-1.0] * 5) * math.sqrt(0.9)  # MS_e = 18 / 18
    result = compare(4 + of_seed[:, None] + of_cluster + left, np.zeros((3, 10)))
    assert result.difference == pytest.approx(4)
    assert [part.variance for part in result.parts] == pytest.approx([1, 2 / 3])
    critical = (1 * stats.t.isf(0.025, 2) + 2 / 3 * stats.t.isf(0.025, 9)) / (5 / 3)
    assert result.ci_high == pytest.approx(4 + critical * math.sqrt(5 / 3))
    p = result.p_value
    at_p = (1 * stats.t.isf(p / 2, 2) + 2 / 3 * stats.t.isf(p / 2, 9)) / (5 / 3)
    assert at_p == pytest.approx(4 / math.sqrt(5 / 3))
    assert (result.df_seeds, result.df_clusters) == (2, 9)
    assert (result.n_seeds, result.n_examples, result.n_clusters) == (3, 10, 10)


@pytest.mark.parametrize("seeds", [2, 6])
def test_seed_effects_alone_are_a_paired_t_test_over_seeds(rng, seeds):
    effect = rng.normal(0.5, 1, (seeds, 1))
    shared = rng.normal(size=(seeds, 50))
    result = compare(shared + effect, shared)
    oracle = stats.ttest_1samp(effect[:, 0], 0)
    assert result.p_value == pytest.approx(oracle.pvalue)
    assert result.df_seeds == seeds - 1
    low, high = oracle.confidence_interval()
    assert (result.ci_low, result.ci_high) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.trap("stat-6")
def test_one_seed_is_a_t_test_over_the_means_of_equal_clusters(rng):
    a, b = rng.normal(0.3, 1, (1, 80)), rng.normal(0, 1, (1, 80))
    result = compare(a, b, clusters=np.repeat(np.arange(20), 4))
    oracle = stats.ttest_1samp((a - b).reshape(20, 4).mean(axis=1), 0)
    assert result.p_value == pytest.approx(oracle.pvalue)
    assert result.df_clusters == pytest.approx(19)
    assert math.isnan(result.df_seeds)
    assert result.scope == "this pair of runs"
    assert math.isnan(result.effect_in_seed_sd)
    assert "over clusters," in result.method


def test_difference_is_the_mean_over_examples_whatever_the_clusters(rng):
    a, b = rng.normal(size=(4, 60)), rng.normal(size=(4, 60))
    result = compare(a, b, clusters=rng.integers(0, 15, 60))
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
    assert (result.p_value, result.difference) == (1.0, 0.0)
    assert seeds < 5 or result.p_superiority == 0.5
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
def test_constant_scores_of_both_are_not_equivalent():
    """Two models at 0 have shown nothing about each other."""
    result = compare(np.zeros((5, 30)), np.zeros((5, 30)), region=1.0)
    assert (result.p_value, result.statement) == (1.0, "inconclusive")
    assert math.isnan(result.p_equivalent)
    right = np.zeros((5, 30))
    right[:, 3:] = 1
    assert compare(right, right.copy(), region=1.0).statement == "equivalent"
    c, d = np.ones((2, 2, 20))  # errors on other examples each: no variance by luck
    c[0, 0] = d[0, 1] = c[1, 2] = d[1, 3] = 0
    found = compare(c, d, region=0.1)
    assert (found.difference, found.p_value, found.statement) == (0, 1, "inconclusive")
    assert math.isnan(found.ci_low)


@pytest.mark.trap("stat-7")
def test_too_few_clusters_are_not_testable(rng):
    a, b = rng.normal(size=(3, 40)), rng.normal(size=(3, 40))
    result = compare(a, b, clusters=["one image"] * 40, region=5.0)
    assert result.statement == "not testable"
    assert result.reason.startswith("1 effective clusters (of 1)")
    assert math.isnan(result.p_equivalent)
    giant = np.where(np.arange(40) < 12, 0, np.arange(40))  # C* = 1600 / (144 + 28)
    assert compare(a, b, clusters=giant).reason.startswith("9.3 effective clusters (of 29)")
    assert compare(a, b, clusters=np.repeat(np.arange(10), 4)).statement != "not testable"
    assert compare(a[:, :1], b[:, :1]).statement == "not testable"


@pytest.mark.trap("stat-10")
def test_statements_in_order(rng):
    shared = rng.normal(size=(10, 200))
    noise = rng.normal(0, 0.1, (10, 200))
    slightly_better = compare(shared + noise + 0.05, shared)
    assert slightly_better.statement == "better"
    assert "p = " in slightly_better.reason
    assert compare(shared + noise + 0.05, shared, region=0.2).statement == "equivalent"  # before "better"
    assert compare(shared + noise - 0.05, shared, region=0.01).statement == "worse"


@pytest.mark.trap("stat-10")
def test_equivalence_is_two_one_sided_tests(rng):
    """Of one part they are scipy's; at .025 each they are the 95 % interval within the region."""
    effect, shared = rng.normal(0.1, 0.5, (8, 1)), rng.normal(size=(8, 50))
    result = compare(shared + effect, shared, region=0.6)
    above = stats.ttest_1samp(effect[:, 0], -0.6, alternative="greater").pvalue
    below = stats.ttest_1samp(effect[:, 0], 0.6, alternative="less").pvalue
    assert result.p_equivalent == pytest.approx(max(above, below))
    edge = max(-result.ci_low, result.ci_high)
    for region, statement in ((edge * 1.001, "equivalent"), (edge * 0.999, "inconclusive")):
        assert compare(shared + effect, shared, region=region).statement == statement


@pytest.mark.trap("stat-10")
def test_equivalence_in_a_family_is_decided_by_its_adjusted_p(rng):
    shared = rng.normal(size=(5, 50))
    found = compare(shared + rng.normal(0, 0.1, (5, 1)), shared, region=0.3)
    assert found.statement == "equivalent"
    assert decide(found, found.p_value).statement == "equivalent"
    assert decide(found, found.p_value, p_equivalent=0.026).statement == "inconclusive"


@pytest.mark.trap("stat-11")
def test_inconclusive_names_the_difference_that_is_shown_with_80_per_cent_power(rng):
    result = compare(rng.normal(size=(5, 40)), rng.normal(size=(5, 40)))
    assert result.statement == "inconclusive"
    assert float(result.reason.split()[-1]) == pytest.approx(shown_difference(result.parts), rel=0.01)
    assert result.shown_80 == pytest.approx(shown_difference(result.parts))
    assert result.shown_80 > (result.ci_high - result.ci_low) / 2  # that is found in half of the cases


@pytest.mark.trap("stat-14")
def test_superiority_and_effect_size_by_hand():
    a, b = np.zeros((5, 20)), np.zeros((5, 20))
    a += np.array([[2.0], [4.0], [4.0], [4.0], [6.0]])
    b += np.array([[1.0], [2.0], [2.0], [2.0], [3.0]])
    b[:, 3] += 1e-12  # no variation
    result = compare(a, b)
    wins = (1 + 3 * 0.5) + 3 * 5 + 5  # of 2: once above, three ties; of 4 and 6: above all
    assert result.p_superiority == pytest.approx(wins / 25)
    assert result.effect_in_seed_sd == pytest.approx(2 / math.sqrt((2 + 0.5) / 2))
    fewer = compare(a[:4], b[:4])
    assert math.isnan(fewer.p_superiority)
    assert math.isnan(fewer.effect_in_seed_sd)


def test_a_corpus_metric_that_is_a_mean_gives_the_numbers_of_a_mean(rng):
    a, b = rng.normal(1, 1, (5, 60)), rng.normal(0.8, 1, (5, 60))
    clusters, ones = np.repeat(np.arange(15), 4), np.ones((5, 60))
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
    statistics = np.zeros((2, 12, 2))
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
    labels = np.array(["x"] * 9 + [None], dtype=object)
    for missing in (labels, np.array([1.0] * 9 + [np.nan])):
        with pytest.raises(ValueError, match="clusters holds 1 missing labels"):
            compare(a, a, clusters=missing)
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


def test_decide_uses_the_adjusted_p_and_keeps_what_is_not_testable(rng):
    shared = rng.normal(size=(6, 50))
    comparison = compare(shared + rng.normal(0.1, 0.2, (6, 1)) + rng.normal(0, 0.1, (6, 50)), shared)
    comparison = dataclasses.replace(comparison, p_value=0.03)
    assert decide(comparison, 0.04, 0.05).statement == "better"
    undecided = decide(comparison, 0.06, 0.025)
    assert undecided.statement == "inconclusive"
    wider = shown_difference(comparison.parts, 0.025)
    assert wider > comparison.shown_80
    assert float(undecided.reason.split()[-1]) == pytest.approx(wider, rel=0.01)
    refused = not_testable(comparison, "too few")
    assert decide(refused, 0.001, 0.05) == refused
    assert math.isnan(refused.p_value)


@pytest.mark.trap("stat-10")
def test_a_verdict_is_the_first_that_holds():
    """A function of numbers: others decide with it, too (adjusted p, another level, another test)."""
    assert verdict(1.0, 0.01, trouble="too few") == ("not testable", "too few")
    assert verdict(1.0, 0.01, p_equivalent=0.025, region=3).statement == "equivalent"
    assert verdict(1.0, 0.01, p_equivalent=0.026, region=3).statement == "better"
    assert verdict(1.0, 0.01, higher_is_better=False).statement == "worse"
    assert verdict(-1.0, 0.05).statement == "worse"
    assert verdict(-1.0, 0.02, level=0.01, shown=4.567) == (
        "inconclusive",
        "difference that this design shows with 80 % power: 4.57",
    )
    assert verdict(1.0, math.nan, shown=1.0).statement == "inconclusive"
