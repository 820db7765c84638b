"""Sources of the scores of a setting's runs: seeds, losses on seeds, images, losses on images."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from amad_bench.analysis.collected import Collected
from amad_bench.analysis.loss_scores import full_table, scores_of
from amad_bench.analysis.score_estimates import influence_of
from amad_bench.analysis.settings import SETTING, Setting
from amad_bench.analysis.tables.pairs import losses_of, methods_of
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
    book, losses, metric = collected.book, losses_of(setting), setting.primary_metric
    methods = {*methods_of(book, losses, metric).values()}
    scores = {label: scores_of(book, losses[label], metric) for label in losses if label in methods}
    labels, replicates = full_table(scores)
    if not labels:
        return []
    runs = [losses[label].set_index("replicate").loc[replicates, "run_id"].tolist() for label in labels]
    matrix = book.matrix([run_id for own in runs for run_id in own], metric)
    if len(set(matrix.clusters)) < 2:
        return []
    influence_LSC = influence_of(matrix, matrix.values).reshape(len(labels), len(replicates), -1)
    if not np.isfinite(influence_LSC).all():
        return []
    of = dict(zip(_OF, influence_LSC.shape, strict=True))
    return [
        setting.axes | {"metric": metric} | asdict(source) | of for source in variance_sources(influence_LSC)
    ]
