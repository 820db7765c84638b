"""Noise of pairs of losses, measured on the finished runs of a setting or of several blocks.

Axes: L losses, S seeds, C clusters of test examples, K blocks.
"""

from dataclasses import dataclass

import numpy as np

from amad_bench.analysis.influence import Floats
from amad_bench.analysis.mean_squares import two_way


@dataclass(frozen=True)
class Noise:
    """Variances of the difference of two losses, each the mean over all pairs of them, in squared units.

    of_seed: of one seed's paired difference, 2 MS_LS. of_images: w_c, what the test examples add whatever the
    number of seeds. image_df: degrees of freedom of the latter. n_losses, n_seeds: measured on.
    """

    of_seed: float
    of_images: float
    image_df: float
    n_losses: int
    n_seeds: int


def noise_of(influence_LSC: Floats, kish: float) -> Noise:
    """The noise of losses whose influence values these are, on the same seeds and examples.

    kish: effective number of clusters. The mean over pairs of a pair's mean square is 2 / (L - 1) times the
    sum over losses of that of their distance from the losses' mean, so no pair is looked at by itself.
    ValueError with fewer than two losses or seeds.
    """
    losses, seeds, clusters = influence_LSC.shape
    if losses < 2 or seeds < 2:
        raise ValueError(f"influence of shape {influence_LSC.shape}: two losses and two seeds are needed")
    squares = two_way(influence_LSC - influence_LSC.mean(axis=0))
    of_seeds, of_clusters, error = (
        2 * float(each.sum()) / (losses - 1) for each in (squares.seed, squares.cluster, squares.error)
    )
    of_images = max(of_clusters - error, 0.0) / (seeds * clusters)
    return Noise(of_seeds / clusters, of_images, kish - 1, losses, seeds)


def effect_variance(means_KL: Floats, noise_K: Floats) -> float:
    """Variance between blocks of the true difference of two losses, the median over all pairs; at least 0.

    means_KL: scores of the same losses in each block. noise_K: variance of a pair's difference within a
    block, which is taken off. The median, for one loss that collapses in some blocks is in many pairs.
    ValueError with fewer than two blocks or losses.
    """
    blocks, losses = means_KL.shape
    if blocks < 2 or losses < 2:
        raise ValueError(f"means of shape {means_KL.shape}: two blocks and two losses are needed")
    a_P, b_P = np.triu_indices(losses, 1)
    between_P = (means_KL[:, a_P] - means_KL[:, b_P]).var(axis=0, ddof=1)
    return max(float(np.median(between_P)) - float(np.mean(noise_K)), 0.0)
