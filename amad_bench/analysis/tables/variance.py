"""Sources of the scores of a setting's runs: seeds, losses on seeds, images, losses on images."""

from dataclasses import asdict
from typing import Any

import pandas as pd

from amad_bench.analysis.collected import Collected
from amad_bench.analysis.settings import SETTING, Setting
from amad_bench.analysis.tables.full import full_table_of
from amad_bench.analysis.variance_sources import variance_sources

_SOURCE = ["source", "ms", "df", "F", "share", "sd"]
_OF = ["n_losses", "n_seeds", "n_clusters"]


def variance_table(collected: Collected) -> pd.DataFrame:
    """Five rows per setting in which two losses have two replicates in common, on its primary metric.

    Of the losses and replicates that together make a full table with most degrees of freedom of loss x seed;
    labels with the same scores count once. ms, df, F: of the analysis of variance of influence values; share,
    sd: of the variance of one run's score, in points.
    """
    rows = [row for setting in collected.settings for row in _of_setting(setting, collected)]
    return pd.DataFrame(rows, columns=[*SETTING, "metric", *_SOURCE, *_OF])


def _of_setting(setting: Setting, collected: Collected) -> list[dict[str, Any]]:
    table = full_table_of(setting, collected.book)
    if table is None:
        return []
    of = dict(zip(_OF, table.influence_LSC.shape, strict=True))
    shared = setting.axes | {"metric": setting.primary_metric}
    return [shared | asdict(source) | of for source in variance_sources(table.influence_LSC)]
