"""Estimates: the parts of a variance, and what no test can say anything about."""

import math

import numpy as np
import pytest

from amad_bench.analysis.estimates import Part, added, estimate_of, variance_parts
from amad_bench.analysis.mean_squares import two_way


def test_parts_by_hand():
    # mean squares 6, 8, 2 of test_mean_squares.test_two_way_by_hand, S C = 6
    table = np.array([[1.0, 1.0, 4.0], [1.0, 5.0, 6.0]])
    assert variance_parts(two_way(table), 2, 3) == (pytest.approx(6 / 6), pytest.approx((8 - 2) / 6))
    found = estimate_of(3.0, table, kish=12.5, n_examples=9, tolerance=1e-9)
    assert found.parts == (Part("seeds", pytest.approx(1.0), 1), Part("clusters", pytest.approx(1.0), 11.5))
    assert found.variance == pytest.approx(2.0)
    assert (found.df("seeds"), found.df("clusters")) == (1, 11.5)
    assert (found.n_seeds, found.n_examples, found.n_clusters) == (2, 9, 3)


def test_clusters_that_vary_less_than_what_is_left_add_nothing():
    table = np.array([[1.0, -1.0, 0.0], [2.0, 4.0, 3.0]])
    of_seeds, of_clusters = variance_parts(two_way(table), 2, 3)
    assert of_seeds == pytest.approx(3 * 9 / 2 / 6)
    assert of_clusters == 0


@pytest.mark.trap("stat-6")
def test_one_seed_has_the_variance_between_clusters_only():
    table = np.random.default_rng(1).normal(size=(1, 40))
    found = estimate_of(0.0, table, kish=33.0, n_examples=40, tolerance=1e-9)
    assert found.parts == (Part("clusters", pytest.approx(table.var(ddof=1) / 40), 32.0),)
    assert math.isnan(found.df("seeds"))


@pytest.mark.trap("stat-7")
def test_what_no_test_can_say_anything_about():
    table = np.random.default_rng(1).normal(size=(3, 40))
    few = estimate_of(1.0, table, kish=9.99, n_examples=40, tolerance=1e-9)
    assert few.trouble.startswith("9.99 effective clusters (of 40): 10 are needed")
    assert estimate_of(1.0, table, kish=10.0, n_examples=40, tolerance=1e-9).trouble == ""
    table[1, 3] = np.nan
    undefined = estimate_of(1.0, table, kish=40, n_examples=40, tolerance=1e-9)
    assert "left out" in undefined.trouble


def test_independent_estimates_add():
    rng = np.random.default_rng(2)
    first = estimate_of(1.0, rng.normal(size=(3, 40)), kish=40, n_examples=80, tolerance=1e-9)
    second = estimate_of(0.5, rng.normal(size=(2, 20)), kish=20, n_examples=30, tolerance=1e-8)
    both = added([first, second])
    assert both.value == 1.5
    assert both.variance == pytest.approx(first.variance + second.variance)
    assert both.parts == first.parts + second.parts
    assert (both.n_seeds, both.n_examples, both.n_clusters, both.tolerance) == (2, 110, 60, 1e-8)
    few = estimate_of(0.5, rng.normal(size=(2, 20)), kish=2, n_examples=30, tolerance=1e-8)
    assert added([first, few]).trouble == few.trouble
