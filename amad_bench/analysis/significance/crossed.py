"""Crossed random effects d_sc = mu + a_s + b_c + e_sc of seeds s and clusters c.

Axes: S seeds, C clusters; `...` = any leading axes (for simulations).
Source: two-way analysis of variance without replication; degrees of freedom after Satterthwaite (1946).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from amad_bench.analysis.influence import Floats
from amad_bench.analysis.significance.outcome import ALPHA, Outcome


def assess(center: float, influence_SC: Floats, tolerance: float) -> Outcome:
    """The t-test of a mean against 0.

    center: the mean. influence_SC: influence values of the clusters, seed by seed. tolerance: what is smaller
    is no variation.
    """
    method = _method(len(influence_SC))
    if np.ptp(influence_SC) <= tolerance:
        if abs(center) > tolerance:
            return Outcome(
                method=method,
                trouble="no variation: the difference is the same in every cluster and seed",
            )
        return Outcome(center, center, 1.0, method=method)
    effects = crossed_effects(influence_SC)
    df, error = float(effects.df), math.sqrt(effects.variance)
    half_width = float(stats.t.ppf(1 - ALPHA / 2, df)) * error
    p_value = float(2 * stats.t.sf(abs(center) / error, df))
    return Outcome(center - half_width, center + half_width, p_value, df, method)


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


def _method(seeds: int) -> str:
    model = "clusters only" if seeds == 1 else "crossed random effects (seeds x clusters), Satterthwaite df"
    return f"{model} capped at {seeds - 1}" if 1 < seeds < 5 else model
