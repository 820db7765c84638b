"""Estimates of what stands in a matrix of scores.

Axes: A arms, S seeds, C clusters, N examples, K sufficient statistics; `...` = any leading axes.
"""

import numpy as np

from amad_bench.analysis.comparisons import ROUNDING
from amad_bench.analysis.estimates import Estimate, estimate_of
from amad_bench.analysis.influence import Floats, influence_of, kish
from amad_bench.analysis.scores import ScoreMatrix


def estimate_of_mean(matrix: ScoreMatrix) -> Estimate:
    """The estimate of the mean score of the matrix's runs, which are seeds of one method."""
    return estimate_of_sum(matrix, matrix.values[None], np.ones(1))


def estimate_of_sum(matrix: ScoreMatrix, values: Floats, weights_A: Floats) -> Estimate:
    """The estimate of the weighted sum of the mean scores of arms whose seeds and examples are paired.

    values: (A, S, N) points or (A, S, N, K) statistics on the matrix's examples.
    """
    scores_AS = matrix.scores(values)
    if matrix.statistic is None:  # the influence values of a mean are linear in the scores
        influence_SC = influence_of(np.tensordot(weights_A, values, axes=1), matrix.clusters, None)
    else:
        influence_ASC = influence_of(values, matrix.clusters, matrix.statistic)
        influence_SC = np.tensordot(weights_A, influence_ASC, axes=1)
    largest = np.abs(values if matrix.statistic is None else scores_AS).max()
    return estimate_of(
        float(weights_A @ scores_AS.mean(axis=1)),
        influence_SC,
        kish=kish(matrix.clusters),
        n_examples=len(matrix.examples),
        tolerance=ROUNDING * float(largest),
    )
