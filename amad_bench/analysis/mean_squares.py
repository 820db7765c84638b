"""Mean squares of tables of influence values.

Axes: S seeds, C clusters; `...` = any leading axes (for simulations).
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
