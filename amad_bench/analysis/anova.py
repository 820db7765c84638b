"""Crossed random effects d_sc = mu + a_s + b_c + e_sc of seeds s and clusters c.

Axes: S seeds, C clusters, N examples, K sufficient statistics; `...` = any leading axes (for simulations).
Source: two-way analysis of variance without replication; degrees of freedom after Satterthwaite (1946).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], NDArray]  # (..., K) sums -> (...) scores


@dataclass(frozen=True)
class Effects:
    """Mean squares of the two-way table and what follows for its grand mean, each with the leading axes."""

    ms_seed: Floats
    ms_cluster: Floats
    ms_error: Floats
    variance: Floats  # of the grand mean
    df: Floats  # of that variance; NaN where the variance is 0


def crossed_effects(values_SC: Floats) -> Effects:
    """Variance of the grand mean of (..., S, C) values and its degrees of freedom.

    With one seed only the clusters vary: an ordinary one-sample variance. ValueError below two clusters.
    """
    seeds, clusters = values_SC.shape[-2:]
    if clusters < 2:
        raise ValueError(f"values of shape {values_SC.shape}: two or more clusters are needed")
    grand = values_SC.mean(axis=(-2, -1), keepdims=True)
    by_seed = values_SC.mean(axis=-1, keepdims=True) - grand
    by_cluster = values_SC.mean(axis=-2, keepdims=True) - grand
    ms_cluster = seeds * np.square(by_cluster).sum(axis=(-2, -1)) / (clusters - 1)
    if seeds == 1:
        none, variance = np.zeros_like(ms_cluster), ms_cluster / clusters
        df = np.where(variance > 0, float(clusters - 1), np.nan)
        return Effects(none, ms_cluster, none, variance, df)

    residual = values_SC - grand - by_seed - by_cluster
    error_df = (seeds - 1) * (clusters - 1)
    ms_seed = clusters * np.square(by_seed).sum(axis=(-2, -1)) / (seeds - 1)
    ms_error = np.square(residual).sum(axis=(-2, -1)) / error_df
    count = seeds * clusters
    variance = np.maximum(ms_seed + ms_cluster - ms_error, ms_error) / count
    spread = (
        np.square(ms_seed / count) / (seeds - 1)
        + np.square(ms_cluster / count) / (clusters - 1)
        + np.square(ms_error / count) / error_df
    )
    df = np.divide(np.square(variance), spread, out=np.full_like(variance, np.nan), where=spread > 0)
    # Satterthwaite's df are too generous on few seeds: up to .078 rejections at .05, simulated at S = 3.
    if seeds < 5:
        df = np.minimum(df, seeds - 1)
    return Effects(ms_seed, ms_cluster, ms_error, variance, df)


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
