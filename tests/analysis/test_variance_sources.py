"""The variance table against effects of known size."""

import numpy as np
import pytest

from amad_bench.analysis.influence import influence_of_mean
from amad_bench.analysis.variance_sources import variance_sources


@pytest.mark.trap("stat-17")
def test_effects_of_known_size_are_found():
    """Points that each adds to a run's score: seed 2, loss x seed 1, images 3/sqrt(C) and so on."""
    rng, (losses, seeds, clusters) = np.random.default_rng(1), (8, 80, 400)
    values = 50 + 10 * rng.normal(size=(losses, 1, 1))
    of_seeds = rng.normal(size=(1, seeds, 1))
    values = values + 2 * of_seeds / of_seeds.std(ddof=1) + rng.normal(size=(losses, seeds, 1))
    values = values + 30 * rng.normal(size=(1, 1, clusters)) + 10 * rng.normal(size=(losses, 1, clusters))
    values = values + 5 * rng.normal(size=(losses, seeds, clusters))
    found = {row.source: row for row in variance_sources(influence_of_mean(values, np.arange(clusters)))}
    expected = {"seed": 2, "loss x seed": 1, "image": 30 / 20, "loss x image": 10 / 20, "residual": 5 / 20}
    assert list(found) == list(expected)
    for source, sd in expected.items():
        assert found[source].sd == pytest.approx(sd, rel=0.15)
        assert found[source].share == pytest.approx(sd**2 / (4 + 1 + 2.25 + 0.25 + 0.0625), rel=0.3)
    assert sum(row.share for row in found.values()) == pytest.approx(1)
    assert pytest.approx(found["seed"].ms / found["loss x seed"].ms) == found["seed"].F
    assert pytest.approx(found["loss x seed"].ms / found["residual"].ms) == found["loss x seed"].F
    assert pytest.approx(found["image"].ms / found["loss x image"].ms) == found["image"].F
    assert np.isnan(found["residual"].F)


@pytest.mark.trap("stat-17")
def test_without_effects_the_ratios_are_about_one():
    rng = np.random.default_rng(2)
    ratios = [[row.F for row in variance_sources(rng.normal(size=(4, 5, 60)))[:4]] for _ in range(300)]
    np.testing.assert_allclose(np.median(ratios, axis=0), 1, atol=0.2)


def test_scores_that_do_not_vary_have_no_shares():
    rows = variance_sources(np.ones((3, 2, 5)))
    assert [row.sd for row in rows] == [0] * 5
    assert all(np.isnan(row.share) and np.isnan(row.F) for row in rows)
