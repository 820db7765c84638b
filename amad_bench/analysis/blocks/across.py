"""Means and slopes over blocks: the blocks are the replicates, whatever varies inside of them.

Axis: K blocks, which share nothing that is random (see `sharing`). Source: Student's t over K numbers;
ordinary least squares.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from amad_bench.analysis.estimates import Estimate, Part
from amad_bench.analysis.influence import Floats

BLOCKS = "blocks"  # source of the variance
FEWEST_BLOCKS = 5
SCOPE = "blocks of this kind"


def across(
    differences_K: ArrayLike,
    *,
    tolerance: float,
    n_seeds: int,
    n_examples: int = 0,
    n_clusters: int = 0,
    common: Part | None = None,
) -> Estimate:
    """The mean difference of the blocks: t with K - 1 degrees of freedom.

    differences_K: in one unit, each a mean over its block's seeds, which may differ in number. n_seeds: the
    fewest of a block. common: what blocks share adds to the variance of the mean. Below five blocks nothing
    can be tested. ValueError for values that are not finite.
    """
    differences_K = _finite(differences_K)
    blocks = len(differences_K)
    if blocks < FEWEST_BLOCKS:
        mean = float(differences_K.mean()) if blocks else math.nan
        return Estimate(mean, (), n_seeds, n_examples, n_clusters, tolerance, too_few(blocks))
    parts = (Part(BLOCKS, float(differences_K.var(ddof=1)) / blocks, blocks - 1),)
    parts = (*parts, common) if common else parts
    return Estimate(float(differences_K.mean()), parts, n_seeds, n_examples, n_clusters, tolerance)


def slope(x_K: ArrayLike, differences_K: ArrayLike, *, tolerance: float, n_seeds: int) -> Estimate:
    """Slope of the blocks' differences on x, by least squares: t with K - 2 degrees of freedom.

    x_K: of each block, log2 of its head gap say. Not testable: fewer than five blocks, or x alike in all.
    ValueError for values that are not finite, or as many of one as of the other.
    """
    x_K, differences_K = _finite(x_K), _finite(differences_K)
    if x_K.shape != differences_K.shape:
        raise ValueError(f"x has shape {x_K.shape}, differences {differences_K.shape}: one of each per block")
    blocks = len(x_K)
    trouble = too_few(blocks) if blocks < FEWEST_BLOCKS else ""
    spread = float(np.square(x_K - x_K.mean()).sum()) if blocks else 0.0
    if spread <= 0 and not trouble:
        trouble = "the blocks are alike in what the slope is over"
    if trouble:
        return Estimate(math.nan, (), n_seeds, 0, 0, tolerance, trouble)
    found = float((x_K - x_K.mean()) @ differences_K) / spread
    left_K = differences_K - differences_K.mean() - found * (x_K - x_K.mean())
    variance = float(np.square(left_K).sum()) / (blocks - 2) / spread
    return Estimate(found, (Part(BLOCKS, variance, blocks - 2),), n_seeds, 0, 0, tolerance)


def too_few(blocks: int) -> str:
    """Reason why nothing can be said across so few blocks."""
    return f"{blocks} of {FEWEST_BLOCKS} blocks"


def _finite(values: ArrayLike) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise ValueError(f"{found.tolist()}: one finite number per block is needed")
    return found
