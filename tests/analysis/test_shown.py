"""The difference that a design shows, against statsmodels' power of a t-test and a simulation."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from amad_bench.analysis.estimates import Part
from amad_bench.analysis.shown import satterthwaite_df, shown_difference
from amad_bench.analysis.significance.weighted_t import weighted_quantile


@pytest.mark.trap("stat-11")
@pytest.mark.parametrize(("seeds", "level"), [(3, 0.05), (5, 0.05), (10, 0.05 / 13)])
def test_of_one_part_is_the_power_of_a_paired_t_test(seeds: int, level: float):
    expected = TTestPower().solve_power(nobs=seeds, alpha=level, power=0.8)
    found = shown_difference([Part("seeds", 1.7**2 / seeds, seeds - 1)], level)
    assert found == pytest.approx(1.7 * expected, rel=1e-6)


def test_of_two_parts_in_a_simulation():
    """The estimated parts vary, t* with them: the approximation by one noncentral t holds to some points."""
    rng, df, truth = np.random.default_rng(5), np.array([4, 60]), np.array([0.5, 0.5])
    shown = shown_difference([Part("seeds", 0.5, 4), Part("clusters", 0.5, 60)])
    parts = truth * rng.chisquare(df, (40_000, 2)) / df
    t = (shown + rng.normal(size=40_000)) / np.sqrt(parts.sum(axis=1))
    power = np.mean(np.abs(t) > weighted_quantile(parts, df, 0.05))
    assert power == pytest.approx(0.8, abs=0.03)


def test_of_a_run_with_a_standard_deviation_of_three_points():
    """Two losses of sd 2.76: 12.7 points by three seeds of the pair, 7.2 with five losses' together."""
    variance = 2 * 2.76**2 / 3
    assert shown_difference([Part("seeds", variance, 2)]) == pytest.approx(12.7, abs=0.05)
    assert shown_difference([Part("seeds", variance, 8)]) == pytest.approx(7.2, abs=0.05)


def test_without_variance_there_is_none():
    assert math.isnan(shown_difference([Part("seeds", 0.0, 4)]))


def test_satterthwaite_by_hand():
    parts = [Part("seeds", 2.0, 4), Part("clusters", 1.0, 10)]
    assert satterthwaite_df(parts) == pytest.approx(9 / (4 / 4 + 1 / 10))
    assert satterthwaite_df(parts[:1]) == 4


def test_two_seeds_show_what_one_degree_of_freedom_shows():
    found = shown_difference([Part("seeds", 1.0, 1)])
    assert stats.nct.sf(stats.t.isf(0.025, 1), 1, found) == pytest.approx(0.8, abs=1e-6)
