"""Fieller's interval, against its closed form and a naive scan."""

import math

import numpy as np
import pytest
from scipy import stats

from amad_bench.analysis.claims_math.share_of_gap import Share, share_of_gap
from amad_bench.analysis.estimates import CLUSTERS, SEEDS, Estimate, Part, estimate_of
from amad_bench.analysis.significance.weighted_t import assess

VARIANCE = np.array([[0.5, 0.2], [0.2, 0.8]])


def of_seeds(difference: float, gap: float, seeds: int = 6):
    """Estimates with one part, so that t* is a t."""

    def combined(a: float, b: float) -> Estimate:
        variance = float(np.array([a, b]) @ VARIANCE @ np.array([a, b]))
        parts = (Part(SEEDS, variance, seeds - 1), Part(CLUSTERS, 0.0, 99.0))
        return Estimate(a * difference + b * gap, parts, seeds, 200, 100, 1e-9)

    return combined


def closed_form(difference: float, gap: float, seeds: int = 6) -> tuple[float, float, float]:
    """(leading coefficient, roots) of (D - s G)^2 = t^2 (V_DD - 2 s V_DG + s^2 V_GG)."""
    squared = stats.t.ppf(0.975, seeds - 1) ** 2
    a = gap**2 - squared * VARIANCE[1, 1]
    b = -2 * (difference * gap - squared * VARIANCE[0, 1])
    c = difference**2 - squared * VARIANCE[0, 0]
    low, high = sorted(np.roots([a, b, c]), key=lambda root: root.real)
    return a, low, high


def test_an_interval() -> None:
    share, (a, low, high) = share_of_gap(of_seeds(4.0, 8.0)), closed_form(4.0, 8.0)
    assert a > 0
    assert (share.kind, share.value) == ("interval", 0.5)
    assert (share.low, share.high) == pytest.approx((low, high))
    assert [share.contains(at) for at in (low - 0.01, 0.5, high + 0.01)] == [False, True, False]


def test_a_negative_difference() -> None:
    share, (_, low, high) = share_of_gap(of_seeds(-4.0, 8.0)), closed_form(-4.0, 8.0)
    assert (share.low, share.high, share.kind) == (pytest.approx(low), pytest.approx(high), "interval")


def test_two_rays_where_the_gap_may_be_0() -> None:
    share, (a, low, high) = share_of_gap(of_seeds(6.0, 1.0)), closed_form(6.0, 1.0)
    assert a < 0
    assert share.kind == "two rays"
    assert (share.high, share.low) == pytest.approx((low, high))
    assert [share.contains(at) for at in (low - 0.01, (low + high) / 2, high + 0.01)] == [True, False, True]


def test_the_whole_line_where_nothing_is_known() -> None:
    share = share_of_gap(of_seeds(0.5, 0.4))
    assert np.iscomplex(closed_form(0.5, 0.4)[1])
    assert (share.kind, share.low, share.high) == ("whole line", -math.inf, math.inf)
    assert share.contains(1e6)


def test_a_ray_where_the_gap_is_just_at_the_edge() -> None:
    gap = stats.t.ppf(0.975, 5) * math.sqrt(VARIANCE[1, 1])
    share = share_of_gap(of_seeds(6.0, gap))
    assert (share.kind, share.high) == ("ray", math.inf)
    root = (36 - stats.t.ppf(0.975, 5) ** 2 * 0.5) / (2 * (6 * gap - stats.t.ppf(0.975, 5) ** 2 * 0.2))
    assert share.low == pytest.approx(root)


@pytest.mark.trap("stat-48")
def test_each_share_is_kept_exactly_where_it_is_not_rejected() -> None:
    """Two parts, so that t* depends on the share: the interval is the one that a scan finds."""
    rng = np.random.default_rng(3)
    seeds_S, images_C = rng.normal(0, 1, (2, 4, 1)), rng.normal(0, 2, (2, 1, 30))
    difference_SC = 5 + seeds_S[0] + images_C[0] + rng.normal(0, 1, (4, 30))
    gap_SC = 9 + seeds_S[1] + images_C[1] + rng.normal(0, 1, (4, 30))

    def combined(a: float, b: float) -> Estimate:
        table_SC = a * difference_SC + b * gap_SC
        facts = {"kish": 30.0, "n_examples": 30, "tolerance": 1e-9}
        return estimate_of(float(table_SC.mean()), table_SC, **facts)

    share = share_of_gap(combined)
    assert share.kind == "interval"
    for at in np.linspace(-0.5, 2, 101):
        assert share.contains(at) == (assess(combined(1.0, -at)).p_value > 0.05)


def test_coverage_of_a_small_gap() -> None:
    """Where the ratio's usual interval fails: the gap is one and a half standard errors from 0."""
    rng, held = np.random.default_rng(1), 0
    for difference, gap in rng.multivariate_normal([0.6, 1.2], VARIANCE, 300):
        held += share_of_gap(of_seeds(difference, gap, seeds=1001)).contains(0.5)
    assert stats.binom.ppf(0.001, 300, 0.95) <= held <= stats.binom.ppf(0.999, 300, 0.95)


def test_trouble_is_passed_on() -> None:
    def troubled(a: float, b: float) -> Estimate:
        return Estimate(a + b, (), 2, 20, 4, 1e-9, "4 effective clusters")

    assert repr(share_of_gap(troubled)) == repr(Share(trouble="4 effective clusters"))  # its value is NaN

    def constant(a: float, b: float) -> Estimate:
        return Estimate(a + b, (Part(SEEDS, 0.0, 1.0),), 2, 20, 20, 1e-9)

    assert "no variation" in share_of_gap(constant).trouble
