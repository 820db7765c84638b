"""Influence values against their definition."""

import numpy as np
import pytest

from amad_bench.analysis.influence import influence_of_mean, influence_of_statistic, kish


@pytest.mark.trap("stat-2")
def test_influence_of_the_mean_with_unequal_clusters_by_hand():
    values, clusters = np.array([[1.0, 3.0, 8.0], [0.0, 0.0, 3.0]]), np.array(["x", "x", "y"])
    # seed 1: m = 4, without x 8, without y 2: 2*4 - 8 and 2*4 - 2; seed 2: m = 1, without x 3, without y 0
    np.testing.assert_allclose(influence_of_mean(values, clusters), [[0.0, 6.0], [-1.0, 2.0]])


@pytest.mark.trap("stat-2")
def test_influence_of_the_mean_leaves_out_one_cluster_at_a_time():
    rng = np.random.default_rng(6)
    values, clusters = rng.normal(size=(2, 3, 40)), rng.zipf(1.5, 40) % 7
    found, names = influence_of_mean(values, clusters), np.unique(clusters)
    for number, name in enumerate(names):
        without = values[..., clusters != name].mean(axis=-1)
        expected = len(names) * values.mean(axis=-1) - (len(names) - 1) * without
        np.testing.assert_allclose(found[..., number], expected)


def test_one_cluster_has_the_mean_itself():
    np.testing.assert_allclose(influence_of_mean(np.array([[1.0, 2.0]]), np.array(["x", "x"])), [[1.5]])


def test_effective_number_of_clusters_by_hand():
    assert kish(np.array(["x", "x", "y"])) == pytest.approx(9 / 5)
    assert kish(np.repeat(np.arange(20), 3)) == pytest.approx(20)


def test_order_of_examples_does_not_matter():
    rng = np.random.default_rng(3)
    values, clusters = rng.normal(size=(4, 30)), rng.integers(0, 7, 30)
    order = rng.permutation(30)
    np.testing.assert_allclose(
        influence_of_mean(values, clusters), influence_of_mean(values[:, order], clusters[order])
    )


def test_jackknife_of_a_mean_is_the_direct_formula():
    values, clusters = np.random.default_rng(4).normal(size=(3, 20)), np.arange(20) ** 2 // 40
    with_counts = np.stack([values, np.ones_like(values)], axis=-1)
    jackknife = influence_of_statistic(with_counts, clusters, lambda sums: sums[..., 0] / sums[..., 1])
    np.testing.assert_allclose(jackknife, influence_of_mean(values, clusters))


@pytest.mark.trap("stat-3")
def test_jackknife_leaves_out_one_cluster_at_a_time():
    statistics = np.random.default_rng(5).uniform(1, 2, size=(2, 6, 2))
    clusters = np.array([0, 1, 1, 2, 2, 2])

    def ratio(sums):
        return np.sqrt(sums[..., 0] / sums[..., 1])

    expected = [
        [3 * ratio(seed.sum(0)) - 2 * ratio(seed[clusters != cluster].sum(0)) for cluster in range(3)]
        for seed in statistics
    ]
    np.testing.assert_allclose(influence_of_statistic(statistics, clusters, ratio), expected)
