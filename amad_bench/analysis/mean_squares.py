"""Mean squares of tables of influence values.

Axes: L losses, S seeds, C clusters; `...` = any leading axes (for simulations).
"""

from dataclasses import dataclass

import numpy as np

from amad_bench.analysis.influence import Floats


@dataclass(frozen=True)
class TwoWay:
    """Mean squares of seeds, clusters and what is left, each with the leading axes.

    With one seed only `cluster` is known, the others are 0.
    """

    seed: Floats
    cluster: Floats
    error: Floats


def two_way(values_SC: Floats) -> TwoWay:
    """The two-way analysis of variance without replication of (..., S, C) values.

    ValueError below two clusters.
    """
    seeds, clusters = values_SC.shape[-2:]
    if clusters < 2:
        raise ValueError(f"values of shape {values_SC.shape}: two or more clusters are needed")
    grand = values_SC.mean(axis=(-2, -1), keepdims=True)
    by_seed = values_SC.mean(axis=-1, keepdims=True) - grand
    by_cluster = values_SC.mean(axis=-2, keepdims=True) - grand
    ms_cluster = seeds * np.square(by_cluster).sum(axis=(-2, -1)) / (clusters - 1)
    if seeds == 1:
        nothing = np.zeros_like(ms_cluster)
        return TwoWay(nothing, ms_cluster, nothing)
    left = values_SC - grand - by_seed - by_cluster
    return TwoWay(
        clusters * np.square(by_seed).sum(axis=(-2, -1)) / (seeds - 1),
        ms_cluster,
        np.square(left).sum(axis=(-2, -1)) / ((seeds - 1) * (clusters - 1)),
    )


@dataclass(frozen=True)
class ThreeWay:
    """Mean squares of crossed seeds and clusters in fixed losses, and their degrees of freedom.

    error: seed x cluster within losses.
    """

    seed: float
    loss_seed: float
    cluster: float
    loss_cluster: float
    error: float
    df: tuple[int, int, int, int, int]  # in the same order


def three_way(values_LSC: Floats) -> ThreeWay:
    """The three-way analysis of variance without replication, main effects of the losses taken out.

    ValueError below two losses, seeds or clusters.
    """
    losses, seeds, clusters = values_LSC.shape
    if min(values_LSC.shape) < 2:
        raise ValueError(
            f"values of shape {values_LSC.shape}: two or more losses, seeds and clusters are needed"
        )
    d = values_LSC - values_LSC.mean(axis=(1, 2), keepdims=True)
    seed_S, cluster_C = d.mean(axis=(0, 2)), d.mean(axis=(0, 1))
    loss_seed_LS = d.mean(axis=2) - seed_S
    loss_cluster_LC = d.mean(axis=1) - cluster_C
    left = d - d.mean(axis=2, keepdims=True) - d.mean(axis=1, keepdims=True)
    df = (
        seeds - 1,
        (losses - 1) * (seeds - 1),
        clusters - 1,
        (losses - 1) * (clusters - 1),
        losses * (seeds - 1) * (clusters - 1),
    )
    sums = (
        losses * clusters * np.square(seed_S).sum(),
        clusters * np.square(loss_seed_LS).sum(),
        losses * seeds * np.square(cluster_C).sum(),
        seeds * np.square(loss_cluster_LC).sum(),
        np.square(left).sum(),
    )
    return ThreeWay(*(float(total / own) for total, own in zip(sums, df, strict=True)), df=df)
