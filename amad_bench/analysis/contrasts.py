"""Linear contrasts of arms: sums of scores of methods, each with a weight, with what they vary by.

Axes: S seeds, C clusters, N examples, K sufficient statistics.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from amad_bench.analysis.comparisons import NAN
from amad_bench.analysis.estimates import Estimate, added, estimate_of
from amad_bench.analysis.failed_runs import failed
from amad_bench.analysis.influence import Floats, influence_of, kish
from amad_bench.analysis.score_estimates import estimate_of_sum
from amad_bench.analysis.scores import ScoreBook, ScoreMatrix
from amad_bench.plan.catalogue import METRICS
from amad_bench.scoring.metrics import trouble

TEST, MAJORITY = "test", "test_majority"
IMAGES = ["task", "dataset", "dataset_options", "limit"]  # runs alike in these have the same test examples
NO_REPLICATE = "no replicate has scores of all arms"
ONE_TEACHER, MORE_TEACHERS, ONE_PAIR = "this teacher", "teachers of this kind", "this pair of runs"


@dataclass(frozen=True)
class Arm:
    """A method in a contrast. runs: its rows of the table `runs`, one per replicate; weight: of its mean."""

    runs: pd.DataFrame
    weight: float


@dataclass(frozen=True)
class Contrast:
    """A sum of weighted means in points.

    scores, replicates: by arm, the scores (S,) that count and the replicates that have them. n_missing:
    planned replicates that do not count, of the paired arms with most of them. n_failed: by arm, its planned
    runs that failed.
    same: whether arms that are paired have equal scores in all replicates, so that nothing is left of them.
    scope: whose teachers it speaks about. groups: the arms that are paired.
    """

    estimate: Estimate
    scores: tuple[Floats, ...]
    replicates: tuple[tuple[int, ...], ...]
    n_missing: int
    n_failed: tuple[int, ...]
    same: bool
    scope: str
    groups: tuple["Group", ...]

    def at(self, weights: Sequence[float]) -> Estimate:
        """The estimate with other weights of the arms; nothing is read or resampled again."""
        estimates = [group.at([weights[place] for place in group.places]) for group in self.groups]
        return added(estimates) if len(estimates) > 1 else estimates[0]


@dataclass(frozen=True)
class Group:
    """Arms on the same examples, paired, and their places among all arms.

    matrix, values: what they are scored on, and (A, S, N, ...) scores; None where no replicate has all.
    """

    places: tuple[int, ...]
    estimate: Estimate
    scores: tuple[Floats, ...]
    replicates: tuple[int, ...]
    n_missing: int
    same: bool
    matrix: ScoreMatrix | None = None
    values: Floats | None = None
    trouble: str = ""

    @cached_property
    def _influence_ASC(self) -> Floats:
        assert self.matrix is not None
        assert self.values is not None
        return influence_of(self.values, self.matrix.clusters, self.matrix.statistic)

    def at(self, weights: Sequence[float]) -> Estimate:
        """The estimate with other weights of its arms."""
        if self.matrix is None:
            return self.estimate
        weights_A = np.asarray(weights)
        found = estimate_of(
            float(weights_A @ np.mean(self.scores, axis=1)),
            np.tensordot(weights_A, self._influence_ASC, axes=1),
            kish=kish(self.matrix.clusters),
            n_examples=self.estimate.n_examples,
            tolerance=self.estimate.tolerance,
        )
        return replace(found, trouble=self.trouble or found.trouble)


def contrast(
    book: ScoreBook, arms: Sequence[Arm], metric: str, *, controls: pd.DataFrame | None = None
) -> Contrast:
    """The sum over arms of weight times mean score on the split `test`.

    Arms that are tested on the same examples are paired by replicate: their weighted influence values are
    added, over the replicates that all of them have. Others are independent: variances add. controls: rows
    of `runs` among which some have scores of the majority answer; with it failed runs count with these, or
    with the worst score where there are none. UserError where paired arms have different examples, and as
    `ScoreBook.matrix`.
    """
    places = _groups(arms)
    groups = [
        replace(_paired(book, [arms[place] for place in own], metric, controls), places=tuple(own))
        for own in places
    ]
    estimates = [group.estimate for group in groups]
    estimate = added(estimates) if len(groups) > 1 else estimates[0]
    scores = dict(zip(chain(*places), chain(*(group.scores for group in groups)), strict=True))
    replicates = {place: group.replicates for own, group in zip(places, groups, strict=True) for place in own}
    teachers = max(len(set(arm.runs["teacher_id"].dropna())) for arm in arms)
    return Contrast(
        estimate=estimate,
        scores=tuple(scores[place] for place in range(len(arms))),
        replicates=tuple(replicates[place] for place in range(len(arms))),
        n_missing=max(group.n_missing for group in groups),
        n_failed=tuple(sum(failed(arm.runs)) for arm in arms),
        same=all(group.same for group in groups),
        scope=ONE_PAIR if estimate.n_seeds == 1 else MORE_TEACHERS if teachers > 1 else ONE_TEACHER,
        groups=tuple(groups),
    )


def _groups(arms: Sequence[Arm]) -> list[list[int]]:
    """Places of the arms that are tested on the same examples."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for place, arm in enumerate(arms):
        keys = list(dict.fromkeys(zip(*(arm.runs[column] for column in IMAGES), strict=True)))
        if len(keys) != 1:
            raise ValueError(f"an arm is tested on {len(keys)} sets of examples: give it runs of one")
        groups.setdefault(keys[0], []).append(place)
    return list(groups.values())


def _paired(book: ScoreBook, arms: Sequence[Arm], metric: str, controls: pd.DataFrame | None) -> Group:
    found = [_pages(book, arm, metric, controls) for arm in arms]
    planned = set[int]().union(*(arm.runs["replicate"] for arm in arms))
    common = sorted(set[int].intersection(*map(set, found)))
    pages = [[own[replicate] for replicate in common] for own in found]
    known = [page for page in chain(*pages) if page is not None]
    if not known:
        nothing = Estimate(NAN, (), 0, 0, 0, 0.0, NO_REPLICATE)
        return Group((), nothing, tuple(np.empty(0) for _ in arms), (), len(planned), same=False)
    matrix = book.aligned(known, metric)
    rows, worst = iter(matrix.values), np.zeros(matrix.values.shape[1:])
    values = np.stack([[worst if page is None else next(rows) for page in own] for own in pages])
    estimate = estimate_of_sum(matrix, values, np.array([arm.weight for arm in arms]))
    trained = matrix.values[[split == TEST for _, split in known]]
    reason = trouble(metric, trained.sum(axis=1)) if matrix.statistic else ""
    if len(known) < values.shape[0] * values.shape[1] and not METRICS[metric].higher_is_better:
        reason = f"failed runs have no {metric}: there is none of the majority answer, and no worst one"
    balanced = math.isclose(sum(arm.weight for arm in arms), 0, abs_tol=1e-12)
    return Group(
        (),
        replace(estimate, trouble=reason or estimate.trouble),
        tuple(matrix.scores(values)),
        tuple(common),
        len(planned) - len(common),
        same=balanced and bool((values == values[0]).all()),
        matrix=matrix,
        values=values,
        trouble=reason,
    )


def _pages(
    book: ScoreBook, arm: Arm, metric: str, controls: pd.DataFrame | None
) -> dict[int, tuple[str, str] | None]:
    """By replicate the (run id, split) of its scores; None for a failed run that has the worst ones."""
    stand_in = None if controls is None else _majority(book, arm, metric, controls)
    pages: dict[int, tuple[str, str] | None] = {}
    of_runs = zip(arm.runs["run_id"], arm.runs["replicate"], failed(arm.runs), strict=True)
    for run_id, replicate, lost in of_runs:
        if book.having([run_id], metric):
            pages[int(replicate)] = (run_id, TEST)
        elif lost and controls is not None:
            pages[int(replicate)] = stand_in
    return pages


def _majority(book: ScoreBook, arm: Arm, metric: str, controls: pd.DataFrame) -> tuple[str, str] | None:
    """The page with scores of the majority answer on an arm's examples, which are the same for all runs."""
    alike: Any = controls.merge(arm.runs[IMAGES].drop_duplicates())
    having = book.having(alike["run_id"].tolist(), metric, MAJORITY)
    return (having[0], MAJORITY) if having else None
