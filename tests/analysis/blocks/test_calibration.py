"""Simulated nulls across blocks, beside the rules that look natural and are wrong; power by noncentral t.

Axes: R repetitions, K blocks, S seeds. Differences are in standard deviations of a seed's paired difference.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from amad_bench.analysis.blocks.across import BLOCKS, across, slope
from amad_bench.analysis.blocks.partial_conjunction import n_better
from amad_bench.analysis.blocks.sharing import counted_as
from amad_bench.analysis.estimates import CLUSTERS, SEEDS, Part
from amad_bench.analysis.shown import shown_difference
from amad_bench.analysis.significance.weighted_t import critical_value

REPETITIONS = 10_000
Floats = np.ndarray
pytestmark = [pytest.mark.slow]


def rejected(differences_K: Floats, common: Part | None) -> bool:
    estimate = across(differences_K, tolerance=0.0, n_seeds=1, common=common)
    return abs(estimate.value) > critical_value(estimate.parts, 0.05) * math.sqrt(estimate.variance)


def rate(differences_RK: Floats, common: Part | None = None) -> float:
    return float(np.mean([rejected(differences_K, common) for differences_K in differences_RK]))


def all_seeds_as_one_sample(values_RKS: Floats) -> float:
    """The rule that takes every seed of every block for a replicate."""
    flat = values_RKS.reshape(len(values_RKS), -1)
    return float(np.mean(stats.ttest_1samp(flat, 0, axis=1).pvalue <= 0.05))


def weighted_by_precision(values_RKS: Floats) -> float:
    """The fixed-effect rule of meta-analysis: weights of 1 / (the block's own variance), a normal."""
    variance_RK = values_RKS.var(axis=2, ddof=1) / values_RKS.shape[2]
    weights_RK = 1 / variance_RK
    mean_R = (weights_RK * values_RKS.mean(axis=2)).sum(axis=1) / weights_RK.sum(axis=1)
    return float(np.mean(np.abs(mean_R) * np.sqrt(weights_RK.sum(axis=1)) > stats.norm.isf(0.025)))


def unequal_noise(rng: np.random.Generator, blocks: int, seeds: int) -> Floats:
    sizes_K1 = np.geomspace(0.3, 3, blocks)[:, None]
    return sizes_K1 * rng.normal(size=(REPETITIONS, blocks, seeds))


def bimodal_seeds(rng: np.random.Generator, blocks: int, seeds: int) -> Floats:
    """In a fifth of the runs of either arm training collapses."""
    collapsed = rng.random((2, REPETITIONS, blocks, seeds)) < 0.2
    return rng.normal(size=(REPETITIONS, blocks, seeds)) + 8.0 * (collapsed[0] - collapsed[1].astype(float))


def differing_effects(rng: np.random.Generator, blocks: int, seeds: int) -> Floats:
    effects = rng.normal(0, 1.5, size=(REPETITIONS, blocks, 1))
    return effects + rng.normal(size=(REPETITIONS, blocks, seeds))


def all_of_it(rng: np.random.Generator, blocks: int, seeds: int) -> Floats:
    return (
        unequal_noise(rng, blocks, seeds)
        + bimodal_seeds(rng, blocks, seeds)
        + differing_effects(rng, blocks, seeds)
    )


@pytest.mark.parametrize("nulls", [unequal_noise, bimodal_seeds, differing_effects, all_of_it])
@pytest.mark.parametrize(("blocks", "seeds"), [(5, 2), (8, 3)])
@pytest.mark.trap("stat-44")
def test_nulls_are_rejected_in_at_most_6_per_cent(
    nulls: Callable[[np.random.Generator, int, int], Floats],
    blocks: int,
    seeds: int,
    record_property: Callable[[str, object], None],
) -> None:
    values_RKS = nulls(np.random.default_rng([blocks, seeds]), blocks, seeds)
    found = {
        "blocks": rate(values_RKS.mean(axis=2)),
        "all seeds": all_seeds_as_one_sample(values_RKS),
        "by precision": weighted_by_precision(values_RKS),
    }
    print(nulls.__name__, blocks, seeds, {name: round(value, 3) for name, value in found.items()})
    record_property("rates", found)
    assert found["blocks"] <= 0.06
    assert found["by precision"] >= 0.12
    if nulls is differing_effects:
        assert found["all seeds"] >= 0.12


def test_blocks_may_have_different_numbers_of_seeds() -> None:
    rng = np.random.default_rng(2)
    seeds_K = np.array([1, 1, 2, 3, 5, 10])
    differences_RK = rng.normal(size=(REPETITIONS, 6)) / np.sqrt(seeds_K)
    assert rate(differences_RK) <= 0.06


@pytest.mark.trap("stat-42")
def test_blocks_that_share_half_of_their_variance_must_be_averaged() -> None:
    """Five teachers, each of two or four blocks; and one teacher of all."""
    rng, half = np.random.default_rng(3), math.sqrt(0.5)
    for each in (2, 4):
        teachers = np.repeat(np.arange(5), each)
        shared_RT = rng.normal(size=(REPETITIONS, 5))
        values_RK = half * shared_RT[:, teachers] + half * rng.normal(size=(REPETITIONS, len(teachers)))
        first = np.array(counted_as([frozenset([f"teacher {number}"]) for number in teachers]))
        averaged_RK = np.stack(
            [values_RK[:, first == place].mean(axis=1) for place in np.unique(first)], axis=1
        )
        apart, averaged = rate(values_RK), rate(averaged_RK)
        print(f"five teachers of {each} blocks: apart {apart:.3f}, averaged {averaged:.3f}")
        assert apart >= 0.1
        assert averaged <= 0.06
    for blocks in (5, 10):
        values_RK = half * rng.normal(size=(REPETITIONS, 1)) + half * rng.normal(size=(REPETITIONS, blocks))
        apart = rate(values_RK)
        print(f"one teacher of {blocks} blocks: apart {apart:.3f}")
        assert apart >= 0.3


@pytest.mark.trap("stat-43")
def test_images_that_all_blocks_share_are_added() -> None:
    """The variance over blocks lacks them: they move all blocks together."""
    rng = np.random.default_rng(4)
    left_out, added = {}, {}
    for share in (0.02, 0.1):
        images_R1 = math.sqrt(share) * rng.normal(size=(REPETITIONS, 1))
        differences_RK = images_R1 + math.sqrt(1 - share) * rng.normal(size=(REPETITIONS, 5))
        left_out[share] = rate(differences_RK)
        added[share] = rate(differences_RK, Part(CLUSTERS, share, 99.0))
    print("images shared by five blocks: left out", left_out, "added", added)
    assert left_out[0.1] >= 0.08
    assert max(added.values()) <= 0.06


@pytest.mark.parametrize("with_effect", [0, 1, 3])
@pytest.mark.trap("stat-45")
def test_k_of_n_claims_too_many_blocks_in_at_most_5_per_cent(with_effect: int) -> None:
    """Counting the p-values that are at most .05 claims too many far more often."""
    rng = np.random.default_rng(5)
    p_RN = rng.random((REPETITIONS, 8))
    p_RN[:, :with_effect] *= 1e-6
    too_many = np.mean([n_better(p_N) > with_effect for p_N in p_RN])
    counted = np.mean((p_RN <= 0.05).sum(axis=1) > with_effect)
    print(f"{with_effect} of 8: k of N {too_many:.3f}, counted {counted:.3f}")
    assert too_many <= 0.055
    assert counted >= 0.2


POWER = {(5, 1): 0.40, (5, 2): 0.66, (5, 3): 0.82, (8, 1): 0.68, (8, 2): 0.93, (8, 3): 0.99}


@pytest.mark.parametrize(("blocks", "seeds"), POWER)
@pytest.mark.trap("stat-46")
def test_power_for_one_standard_deviation_of_a_seeds_difference(blocks: int, seeds: int) -> None:
    rng = np.random.default_rng([6, blocks, seeds])
    simulated = rate(1 + rng.normal(size=(REPETITIONS, blocks, seeds)).mean(axis=2))
    center, critical = math.sqrt(blocks * seeds), stats.t.isf(0.025, blocks - 1)
    expected = stats.nct.sf(critical, blocks - 1, center) + stats.nct.cdf(-critical, blocks - 1, center)
    print(f"{blocks} blocks, {seeds} seeds: power {simulated:.3f}")
    assert simulated == pytest.approx(expected, abs=0.015)
    assert simulated == pytest.approx(POWER[blocks, seeds], abs=0.02)


@pytest.mark.parametrize(("blocks", "seeds", "shown"), [(5, 2, 1.19), (8, 2, 0.82), (5, 3, 0.97)])
def test_the_difference_that_is_shown_has_80_per_cent_power(blocks: int, seeds: int, shown: float) -> None:
    """One block of two seeds shows 11.6."""
    rng = np.random.default_rng([7, blocks, seeds])
    assert shown_difference([Part(BLOCKS, 1 / seeds / blocks, blocks - 1)]) == pytest.approx(shown, abs=0.005)
    differences_RK = shown + rng.normal(size=(REPETITIONS, blocks, seeds)).mean(axis=2)
    assert rate(differences_RK) == pytest.approx(0.8, abs=0.015)
    assert shown_difference([Part(SEEDS, 1 / 2, 1)]) == pytest.approx(11.55, abs=0.05)


@pytest.mark.trap("stat-47")
def test_slopes_of_nothing_are_rejected_in_at_most_6_per_cent() -> None:
    """Effects that differ by block are no slope; every seed as a point of its own calls them one."""
    rng, gaps = np.random.default_rng(8), np.array([0.0, 1, 2, 0, 1, 2, 1, 3])
    values_RKS = differing_effects(rng, 8, 3)
    own, naive = 0, 0
    for values_KS in values_RKS[:4000]:
        estimate = slope(gaps, values_KS.mean(axis=1), tolerance=0.0, n_seeds=3)
        own += abs(estimate.value) > critical_value(estimate.parts, 0.05) * math.sqrt(estimate.variance)
        naive += stats.linregress(np.repeat(gaps, 3), values_KS.ravel()).pvalue <= 0.05
    print(f"slope: blocks {own / 4000:.3f}, all seeds {naive / 4000:.3f}")
    assert own / 4000 <= 0.06
    assert naive / 4000 >= 0.15
