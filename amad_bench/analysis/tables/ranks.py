"""Ranks that the comparisons of a setting leave open for each of its losses."""

from itertools import combinations

import numpy as np
import pandas as pd

from amad_bench.analysis.collected import Collected
from amad_bench.analysis.loss_scores import scores_of
from amad_bench.analysis.rank_sets import rank_sets
from amad_bench.analysis.settings import SETTING, Setting
from amad_bench.analysis.tables.pairs import decided, losses_of, methods_of, pair_of
from amad_bench.plan.catalogue import METRICS

_RANKS = ["best_rank", "worst_rank"]


def ranks_table(collected: Collected) -> pd.DataFrame:
    """One row per setting and loss, on its primary metric.

    mean: in points, over replicates. best_rank: 1 + losses that are significantly better; worst_rank: all
    n_losses but those that are significantly worse. All pairs of a setting are one family (Holm), a pair with
    fewer than two common replicates decides nothing, and what failed runs would change is not significant.
    Labels with the same scores are one loss with one rank. Without scores a loss has no rank.
    """
    rows = []
    for setting in collected.settings:
        rows += _of_setting(setting, collected)
    table = pd.DataFrame(rows, columns=[*SETTING, "metric", "loss", "mean", *_RANKS, "n_losses"])
    return table.astype(dict.fromkeys(_RANKS, "Int64"))


def _of_setting(setting: Setting, collected: Collected) -> list[dict[str, object]]:
    book, losses, metric = collected.book, losses_of(setting), setting.primary_metric
    scores = {label: scores_of(book, rows, metric) for label, rows in losses.items()}
    methods = methods_of(book, losses, metric)
    ranked = [label for label in losses if scores[label] and methods[label] == label]
    pairs = [pair_of(setting, book, losses, a, b) for a, b in combinations(ranked, 2)]
    differences_LL, significant_LL = np.zeros((2, len(ranked), len(ranked)))
    for pair in decided([pair for pair in pairs if pair.comparison.n_seeds > 1], methods):
        a, b = ranked.index(pair.loss_a), ranked.index(pair.loss_b)
        differences_LL[a, b], differences_LL[b, a] = pair.comparison.difference, -pair.comparison.difference
        significant_LL[a, b] = significant_LL[b, a] = pair.comparison.statement in ("better", "worse")
    best_L, worst_L = rank_sets(
        differences_LL, 1 - significant_LL, higher_is_better=METRICS[metric].higher_is_better
    )
    ranks = dict(zip(ranked, zip(best_L.tolist(), worst_L.tolist(), strict=True), strict=True))
    return [
        setting.axes
        | {"metric": metric, "loss": label, "n_losses": len(ranked)}
        | {"mean": float(np.mean([*own.values()])) if (own := scores[label]) else np.nan}
        | dict(zip(_RANKS, ranks.get(methods[label], (None, None)), strict=True))
        for label in losses
    ]
