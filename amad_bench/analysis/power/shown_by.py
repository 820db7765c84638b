"""Difference that each of the tests shows with 80 % power, by numbers of seeds and of blocks."""

import math
from collections.abc import Sequence

from amad_bench.analysis.blocks.across import BLOCKS
from amad_bench.analysis.estimates import CLUSTERS, SEEDS, Part
from amad_bench.analysis.power.measured import Noise
from amad_bench.analysis.shown import shown_difference

FEWEST_DF = 4  # of MS_LS, which the test of a setting pools


def shown_by_pair(noise: Noise, seeds: int) -> float:
    """The difference of one pair in one setting, alone at .05; in a family Holm asks for more."""
    return _shown(_of_seeds(noise, seeds, seeds - 1), _of_images(noise))


def shown_by_setting(noise: Noise, seeds: int) -> float:
    """The same where all losses of the setting are equally unstable; NaN below four degrees of freedom."""
    df = (noise.n_losses - 1) * (seeds - 1)
    return _shown(_of_seeds(noise, seeds, df), _of_images(noise)) if df >= FEWEST_DF else math.nan


def shown_by_images(noise: Noise) -> float:
    """Limit of both, which no number of seeds lowers: what this test set shows."""
    return _shown(_of_images(noise))


def shown_across(noises: Sequence[Noise], effect: float, seeds: int, blocks: int) -> float:
    """The difference shown by the mean over so many independent blocks.

    noises: of measured blocks, in one unit; new ones are taken to be like their mean. effect: variance of
    the true difference between blocks.
    """
    of_seed = sum(noise.of_seed for noise in noises) / len(noises)
    return _shown(_of_blocks(effect + of_seed / seeds + _mean_of_images(noises), blocks))


def shown_across_by_images(noises: Sequence[Noise], blocks: int) -> float:
    """Its limit by the test sets: one true difference in all blocks, and seeds without end."""
    return _shown(_of_blocks(_mean_of_images(noises), blocks))


def _mean_of_images(noises: Sequence[Noise]) -> float:
    return sum(noise.of_images for noise in noises) / len(noises)


def _of_seeds(noise: Noise, seeds: int, df: int) -> Part:
    return Part(SEEDS, noise.of_seed / seeds, df)


def _of_images(noise: Noise) -> Part:
    return Part(CLUSTERS, noise.of_images, noise.image_df)


def _of_blocks(variance: float, blocks: int) -> Part:
    return Part(BLOCKS, variance / blocks, blocks - 1)


def _shown(*parts: Part) -> float:
    """0 where nothing varies."""
    return shown_difference(parts) if any(part.variance > 0 for part in parts) else 0.0
