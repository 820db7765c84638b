"""The difference shown: against what was measured on a reference, and against the tests' simulated power."""

import numpy as np
import pytest
from scipy import stats

from amad_bench.analysis.estimates import variance_parts
from amad_bench.analysis.mean_squares import two_way
from amad_bench.analysis.power.measured import Noise
from amad_bench.analysis.power.shown_by import (
    shown_across,
    shown_across_by_images,
    shown_by_images,
    shown_by_pair,
    shown_by_setting,
)
from amad_bench.analysis.significance.weighted_t import weighted_quantile

PAIRING = 0.09  # correlation of two losses' scores over seeds, measured on a reference
IMAGES = (0.64 / 2.8) ** 2  # of 500 test images, which alone make .6 to .7 points the smallest difference


def reference(run_sd: float) -> Noise:
    return Noise(2 * (1 - PAIRING) * run_sd**2, IMAGES, 499.0, n_losses=5, n_seeds=10)


def seeds_needed(noise: Noise, points: float) -> int:
    return next(seeds for seeds in range(2, 1000) if shown_by_pair(noise, seeds) <= points)


@pytest.mark.trap("stat-62")
@pytest.mark.parametrize(("run_sd", "expected"), [(2.76, (180, 35, 7)), (1.0, (25, 7, 3))])
def test_seeds_for_1_2_and_5_points(run_sd: float, expected: tuple[int, ...]) -> None:
    found = [seeds_needed(reference(run_sd), points) for points in (1, 2, 5)]
    assert found == pytest.approx(expected, rel=0.1)


def test_the_images_alone() -> None:
    assert 0.6 <= shown_by_images(reference(2.76)) <= 0.7
    assert shown_by_pair(reference(2.76), 10**6) == pytest.approx(shown_by_images(reference(2.76)), rel=1e-3)


@pytest.mark.trap("stat-62")
def test_at_three_seeds_a_setting_shows_what_a_pair_does_not() -> None:
    """7.2 instead of 12.7 points were measured."""
    pair, setting = shown_by_pair(reference(2.76), 3), shown_by_setting(reference(2.76), 3)
    assert pair == pytest.approx(12.7, rel=0.06)
    assert setting == pytest.approx(7.2, rel=0.06)
    assert np.isnan(shown_by_setting(Noise(1, 1, 99, n_losses=3, n_seeds=2), 2))  # two degrees of freedom


def test_blocks_with_few_seeds() -> None:
    """Power of .82 at five blocks with three seeds, and .68 at eight with one, of one standard deviation."""
    noise = Noise(1.0, 0.0, 99.0, 5, 2)
    assert shown_across([noise], 0.0, seeds=3, blocks=5) == pytest.approx(0.98, abs=0.01)
    assert shown_across([noise], 0.0, seeds=1, blocks=8) == pytest.approx(1.16, abs=0.02)


def test_nothing_that_varies_shows_everything() -> None:
    still = Noise(0.0, 0.0, 99.0, 5, 2)
    assert (
        shown_by_pair(still, 2) == shown_across([still], 0.0, 2, 5) == shown_across_by_images([still], 5) == 0
    )


@pytest.mark.trap("stat-61")
@pytest.mark.parametrize(
    ("seeds", "of_seed", "of_image", "of_error"),
    [(2, 3.0, 5.0, 15.0), (3, 3.0, 5.0, 15.0), (5, 3.0, 15.0, 15.0), (10, 0.5, 15.0, 15.0)],
)
def test_a_pair_is_found_in_four_of_five_simulated_tables(
    seeds: int, of_seed: float, of_image: float, of_error: float
) -> None:
    clusters, tables, normal = 60, 4000, np.random.default_rng(1).normal
    noise = Noise(of_seed**2 + of_error**2 / clusters, of_image**2 / clusters, clusters - 1, 2, seeds)
    d_RSC = normal(shown_by_pair(noise, seeds), of_error, (tables, seeds, clusters))
    d_RSC += normal(0, of_seed, (tables, seeds, 1)) + normal(0, of_image, (tables, 1, clusters))
    parts_RP = np.stack(variance_parts(two_way(d_RSC), seeds, clusters), axis=-1)
    critical_R = weighted_quantile(parts_RP, np.array([seeds - 1, clusters - 1]), 0.05)
    found = d_RSC.mean(axis=(1, 2)) > critical_R * np.sqrt(parts_RP.sum(axis=-1))
    assert found.mean() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(("blocks", "seeds"), [(5, 2), (12, 1)])
def test_blocks_are_found_in_four_of_five_simulated_sweeps(blocks: int, seeds: int) -> None:
    normal, noises, effect = (
        np.random.default_rng(3).normal,
        [Noise(9, 1, 99, 5, 2), Noise(4, 2, 99, 5, 2)],
        2.0,
    )
    variance_K = effect + np.resize([9 / seeds + 1, 4 / seeds + 2], blocks)
    shown = shown_across(noises, effect, seeds, blocks)
    d_RK = normal(shown, np.sqrt(variance_K), (20_000, blocks))
    p_R = stats.ttest_1samp(d_RK, 0, axis=1).pvalue
    assert np.mean((p_R <= 0.05) & (d_RK.mean(axis=1) > 0)) == pytest.approx(0.8, abs=0.03)
