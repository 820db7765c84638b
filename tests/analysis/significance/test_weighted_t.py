"""The weighted quantile and its p against scipy's t and against closed forms, in the far tail too."""

import math

import numpy as np
import pytest
from scipy import stats

from amad_bench.analysis.estimates import Estimate, Part
from amad_bench.analysis.significance.weighted_t import (
    assess,
    critical_value,
    one_sided,
    two_sided,
    weighted_quantile,
)

TAIL = (0.6, 0.05, 1e-4, 1e-12, 1e-100)


def estimate(value: float, *parts: tuple[float, float]) -> Estimate:
    named = tuple(Part("seeds", variance, df) for variance, df in parts)
    return Estimate(value, named, 5, 100, 100, 1e-9)


@pytest.mark.parametrize("p", TAIL)
@pytest.mark.parametrize("df", [1, 2, 4, 9, 49.3, 4999])
def test_one_part_is_students_t(df: float, p: float):
    t = float(stats.t.isf(p / 2, df))
    assert two_sided(t, [Part("seeds", 0.3, df)]) == pytest.approx(2 * stats.t.sf(t, df), rel=1e-10)


@pytest.mark.parametrize("p", TAIL)
def test_two_parts_against_the_closed_forms_of_two_and_four_degrees_of_freedom(p: float):
    """t(2) = (1 - 2 q) / sqrt(2 q (1 - q)) at the upper tail q; t(4)^2 = 4 cos(acos(a) / 3) / a - 4 with
    a = 2 sqrt(q (1 - q))."""
    q = p / 2
    a = 2 * math.sqrt(q * (1 - q))
    of_two = (1 - 2 * q) / math.sqrt(2 * q * (1 - q))
    of_four = math.sqrt(4 * math.cos(math.acos(a) / 3) / a - 4)
    t, parts = (3 * of_two + of_four) / 4, [Part("seeds", 0.6, 2), Part("clusters", 0.2, 4)]
    assert critical_value(parts, p) == pytest.approx(t, rel=1e-9)  # scipy 1.14's quantiles have ten digits
    assert two_sided(t, parts) == pytest.approx(p, rel=1e-8)


@pytest.mark.trap("stat-5")
def test_a_part_of_one_degree_of_freedom_makes_all_of_it_cauchy():
    found = assess(estimate(30.0, (0.1, 1), (0.9, 99)))
    assert found.critical == pytest.approx(math.tan(math.pi * 0.475))
    assert found.p_value == pytest.approx(2 * stats.cauchy.sf(30))


def test_the_interval_ends_where_the_p_value_is_the_level():
    found = assess(estimate(1.7, (0.2, 4), (0.1, 60), (0.3, 11)))
    for end in (found.ci_low, found.ci_high):
        shifted = assess(estimate(1.7 - end, (0.2, 4), (0.1, 60), (0.3, 11)))
        assert shifted.p_value == pytest.approx(0.05, rel=1e-9)
    assert found.critical == pytest.approx((1.7 - found.ci_low) / math.sqrt(0.6))


def test_one_sided_halves_are_scipys():
    values = np.random.default_rng(3).normal(0.4, 1, 12)
    own = estimate(float(values.mean()), (float(values.var(ddof=1)) / 12, 11))
    for direction, alternative in ((1, "greater"), (-1, "less")):
        expected = stats.ttest_1samp(values, 0, alternative=alternative).pvalue
        assert one_sided(own, direction) == pytest.approx(expected, rel=1e-10)


@pytest.mark.trap("stat-7")
def test_without_variation():
    """p = 1 where the difference is 0, else not testable: never an interval of no width around a number."""
    assert assess(estimate(0.0, (0.0, 4))).p_value == 1
    found = assess(estimate(0.1, (0.0, 4)))
    assert "no variation" in found.trouble
    assert math.isnan(found.p_value)
    assert math.isnan(one_sided(estimate(0.1, (0.0, 4)), 1))


def test_a_part_without_variance_has_no_weight():
    assert critical_value([Part("seeds", 0, 2), Part("clusters", 2, 30)], 0.05) == pytest.approx(
        stats.t.isf(0.025, 30)
    )


def test_quantiles_of_many_tables_at_once():
    variances = np.random.default_rng(4).uniform(size=(7, 2))
    found = weighted_quantile(variances, np.array([2.0, 40.0]), 0.05 / 13)
    for row, quantile in zip(variances, found, strict=True):
        parts = [Part("seeds", row[0], 2.0), Part("clusters", row[1], 40.0)]
        assert quantile == pytest.approx(critical_value(parts, 0.05 / 13))
    assert np.isnan(weighted_quantile(np.zeros(2), np.array([2.0, 40.0]), 0.05))


def test_p_values_end_at_a_number_above_zero():
    assert two_sided(1e9, [Part("clusters", 1.0, 500)]) == 1e-150
    assert two_sided(0.0, [Part("clusters", 1.0, 500)]) == 1.0
