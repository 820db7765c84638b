"""Scores of a setting's losses by replicate, and the table of them that is full.

Axes: L losses, S seeds.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from amad_bench.analysis.influence import Floats
from amad_bench.analysis.scores import ScoreBook

ByReplicate = Mapping[int, float]


def scores_of(book: ScoreBook, runs: pd.DataFrame, metric: str, split: str = "test") -> dict[int, float]:
    """By replicate the score in points of each of these rows of `runs` that has one."""
    replicates = dict(zip(runs["run_id"], map(int, runs["replicate"]), strict=True))
    having = sorted(book.having([*replicates], metric, split), key=lambda run_id: replicates[run_id])
    scores_S = book.matrix(having, metric, split).scores_S() if having else ()
    return {replicates[run_id]: float(score) for run_id, score in zip(having, scores_S, strict=True)}


def full_table(scores: Mapping[str, ByReplicate]) -> tuple[list[str], list[int]]:
    """The labels, in their order, and the replicates that all of these have: with most (L - 1)(S - 1).

    Losses with the most replicates are taken first; ([], []) where no two have two in common.
    """
    best: tuple[int, list[str], list[int]] = (0, [], [])
    taken: list[str] = []
    common = set[int]().union(*scores.values())
    for label in sorted(scores, key=lambda label: -len(scores[label])):
        taken, common = [*taken, label], common & scores[label].keys()
        if (df := (len(taken) - 1) * (len(common) - 1)) > best[0]:
            best = (df, taken, sorted(common))
    return [label for label in scores if label in best[1]], best[2]


def as_array(scores: Mapping[str, ByReplicate], labels: Sequence[str], replicates: Sequence[int]) -> Floats:
    """(L, S) scores."""
    return np.array([[scores[label][replicate] for replicate in replicates] for label in labels])
