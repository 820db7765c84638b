"""Influence of clusters of examples on a score, seed by seed: what tests of significance look at.

Axes: S seeds, C clusters, N examples, K sufficient statistics; `...` = any leading axes (for simulations).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], NDArray]  # (..., K) sums -> (...) scores


def cluster_sums(values: NDArray, clusters: NDArray, axis: int) -> tuple[NDArray, NDArray[np.int64]]:
    """Sums of `values` over the examples of each cluster along `axis`, and the clusters' sizes (C,)."""
    _, index, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    order = np.argsort(index, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return np.add.reduceat(np.take(values, order, axis=axis), starts, axis=axis), sizes


def influence_of_mean(values_SN: Floats, clusters: NDArray) -> Floats:
    """(..., S, C) influence values of the mean over examples: C n_c (m_sc - m_s) / N + m_s.

    Their mean over clusters is the mean over examples, whatever the clusters' sizes.
    """
    sums_SC, sizes_C = cluster_sums(values_SN, clusters, axis=-1)
    mean_S1 = values_SN.mean(axis=-1, keepdims=True)
    return len(sizes_C) * (sums_SC - sizes_C * mean_S1) / values_SN.shape[-1] + mean_S1


def influence_of_statistic(values_SNK: Floats, clusters: NDArray, statistic: Statistic) -> Floats:
    """(S, C) delete-one-cluster jackknife pseudo-values of the score `statistic(sum over examples)`.

    For the variance only: their mean is not the score.
    """
    sums_SCK, sizes_C = cluster_sums(values_SNK, clusters, axis=-2)
    count = len(sizes_C)
    total_S1K = values_SNK.sum(axis=-2, keepdims=True)
    return count * statistic(total_S1K) - (count - 1) * statistic(total_S1K - sums_SCK)
