"""The full table of a setting: the losses and replicates that all have scores, on its primary metric."""

from dataclasses import dataclass

import numpy as np

from amad_bench.analysis.influence import Floats, influence_of, kish
from amad_bench.analysis.loss_scores import full_table, scores_of
from amad_bench.analysis.scores import ScoreBook
from amad_bench.analysis.settings import Setting
from amad_bench.analysis.tables.pairs import losses_of, methods_of


@dataclass(frozen=True)
class FullTable:
    """L losses with the same S replicates on C clusters, in points. labels: of the losses, each a method of
    its own; kish: effective number of clusters.
    """

    labels: list[str]
    scores_LS: Floats
    influence_LSC: Floats
    kish: float


def full_table_of(setting: Setting, book: ScoreBook) -> FullTable | None:
    """The one with most degrees of freedom of loss x seed; labels with the same scores count once.

    None where no two losses have two replicates in common, with one cluster, and where a score is undefined
    when a cluster is left out.
    """
    losses, metric = losses_of(setting), setting.primary_metric
    methods = {*methods_of(book, losses, metric).values()}
    scores = {label: scores_of(book, losses[label], metric) for label in losses if label in methods}
    labels, replicates = full_table(scores)
    if not labels:
        return None
    runs = [losses[label].set_index("replicate").loc[replicates, "run_id"].tolist() for label in labels]
    matrix = book.matrix([run_id for own in runs for run_id in own], metric)
    if len(set(matrix.clusters)) < 2:
        return None
    shape = len(labels), len(replicates)
    influence_LSC = influence_of(matrix.values, matrix.clusters, matrix.statistic).reshape(*shape, -1)
    if not np.isfinite(influence_LSC).all():
        return None
    return FullTable(labels, matrix.scores_S().reshape(shape), influence_LSC, kish(matrix.clusters))
