"""What makes pairs of losses vary: against a loop over pairs, and numbers by hand."""

from itertools import combinations

import numpy as np
import pytest

from amad_bench.analysis.mean_squares import two_way
from amad_bench.analysis.power.measured import effect_variance, noise_of


@pytest.mark.trap("stat-60")
def test_it_is_the_mean_over_all_pairs() -> None:
    influence_LSC = np.random.default_rng(0).normal(60, [[[5]], [[9]], [[2]], [[4]]], (4, 3, 30))
    influence_LSC += np.random.default_rng(1).normal(0, 20, (4, 1, 30))
    pairs = [two_way(a - b) for a, b in combinations(influence_LSC, 2)]
    noise = noise_of(influence_LSC, kish=25.0)
    seed, cluster, error = (
        np.mean([getattr(pair, name) for pair in pairs]) for name in ("seed", "cluster", "error")
    )
    assert noise.of_seed == pytest.approx(seed / 30)
    assert noise.of_images == pytest.approx((cluster - error) / 90)
    assert (noise.image_df, noise.n_losses, noise.n_seeds) == (24.0, 4, 3)


def test_by_hand() -> None:
    b_SC = np.zeros((2, 2))
    a_SC = np.array([[1.0, 3.0], [5.0, 7.0]])  # one seed's difference 2, the other's 6; images differ by 2
    noise = noise_of(np.stack([a_SC, b_SC]), kish=2.0)
    assert noise.of_seed == pytest.approx(8.0)  # variance of 2 and 6
    assert noise.of_images == pytest.approx(1.0)  # MS_c = 2 * (3 - 5)^2 ... = 4, MS_e = 0, over S C = 4


def test_without_variation_nothing_is_negative() -> None:
    influence_LSC = np.random.default_rng(0).normal(0, 1, (2, 5, 40))  # no cluster effect at all
    assert all(noise_of(influence_LSC[:, s : s + 2], 40.0).of_images >= 0 for s in range(4))


@pytest.mark.parametrize("shape", [(1, 3, 10), (3, 1, 10)])
def test_one_loss_or_one_seed_says_nothing(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="two losses and two seeds are needed"):
        noise_of(np.zeros(shape), 10.0)


def test_effects_that_differ_by_block() -> None:
    means_KL = np.array([[50.0, 51.0], [60.0, 65.0], [20.0, 29.0]])  # differences 1, 5, 9: variance 16
    assert effect_variance(means_KL, np.array([3.0, 4.0, 5.0])) == pytest.approx(12.0)
    assert effect_variance(means_KL, np.full(3, 17.0)) == 0.0
    with pytest.raises(ValueError, match="two blocks and two losses"):
        effect_variance(means_KL[:1], np.zeros(1))


def test_a_loss_that_collapses_in_one_block_does_not_set_it() -> None:
    blocks_KL = np.random.default_rng(2).normal(50, 1, (8, 6))
    blocks_KL[3, 0] = 2.0
    assert effect_variance(blocks_KL, np.zeros(8)) == pytest.approx(2.0, abs=1.0)
