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


def kish(clusters: NDArray) -> float:
    """Number of clusters of equal size that tell as much as these: C* = N^2 / sum of n_c^2 (Kish 1965)."""
    _, sizes_C = np.unique(clusters, return_counts=True)
    return float(len(clusters) ** 2 / np.square(sizes_C.astype(np.float64)).sum())


def influence_of(values: Floats, clusters: NDArray, statistic: Statistic | None) -> Floats:
    """(..., S, C) influence values of (..., S, N) values, or of (..., S, N, K) where there is a statistic."""
    if statistic is None:
        return influence_of_mean(values, clusters)
    return influence_of_statistic(values, clusters, statistic)


def influence_of_mean(values_SN: Floats, clusters: NDArray) -> Floats:
    """(..., S, C) delete-one-cluster jackknife pseudo-values of the mean over examples.

    m_s + (C - 1) n_c (m_sc - m_s) / (N - n_c): C m_s - (C - 1) (mean without the cluster). For the variance
    only: where sizes differ their mean is not the score. One cluster has the mean itself.
    """
    return influence_of_sums(*cluster_sums(values_SN, clusters, axis=-1))


def influence_of_sums(sums_SC: Floats, sizes_C: NDArray[np.int64]) -> Floats:
    """The same from sums of values over the examples of each cluster (..., S, C) and the clusters' sizes."""
    examples = sizes_C.sum()
    mean_S1 = sums_SC.sum(axis=-1, keepdims=True) / examples
    others_C = np.maximum(examples - sizes_C, 1)
    return mean_S1 + (len(sizes_C) - 1) * (sums_SC - sizes_C * mean_S1) / others_C


def influence_of_statistic(values_SNK: Floats, clusters: NDArray, statistic: Statistic) -> Floats:
    """(..., S, C) delete-one-cluster jackknife pseudo-values of the score `statistic(sum over examples)`.

    For the variance only: their mean is not the score.
    """
    sums_SCK, sizes_C = cluster_sums(values_SNK, clusters, axis=-2)
    count = len(sizes_C)
    total_S1K = values_SNK.sum(axis=-2, keepdims=True)
    return count * statistic(total_S1K) - (count - 1) * statistic(total_S1K - sums_SCK)
