"""Pairs of losses within a setting, and what is said of a family of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from amad_bench.analysis.comparisons import NAN, Comparison, comparison_of, decide
from amad_bench.analysis.contrasts import Arm, Contrast, contrast
from amad_bench.analysis.holm import holm, holm_level
from amad_bench.analysis.scores import ScoreBook
from amad_bench.analysis.settings import TEACHER, Setting
from amad_bench.plan.catalogue import METRICS

SAME = "the same scores in all replicates: one method under two labels"
_Losses = Mapping[str, pd.DataFrame]  # rows of `runs` by label


@dataclass(frozen=True)
class Pair:
    """A minus B on a setting's primary metric.

    comparison: by itself, or as `decided` has it. p_holm: adjusted in its family; with_failed: the comparison
    with failed runs at the majority answer's scores, None where no run failed.
    """

    loss_a: str
    loss_b: str
    contrast: Contrast
    comparison: Comparison
    with_failed: Comparison | None
    p_holm: float = NAN


def losses_of(setting: Setting) -> dict[str, pd.DataFrame]:
    """Rows of its students by label."""
    return {label: rows for label, rows in setting.by_loss().items() if label != TEACHER}


def pair_of(setting: Setting, book: ScoreBook, losses: _Losses, loss_a: str, loss_b: str) -> Pair:
    """The pair by itself."""
    arms, metric = [Arm(losses[loss_a], 1.0), Arm(losses[loss_b], -1.0)], setting.primary_metric
    found = contrast(book, arms, metric)
    comparison = _comparison(found, metric)
    if found.same:
        comparison = replace(comparison, reason=SAME)
    with_failed = None
    if any(found.n_failed):
        controls = pd.concat([setting.teachers, setting.students])
        with_failed = _comparison(contrast(book, arms, metric, controls=controls), metric)
    return Pair(loss_a, loss_b, found, comparison, with_failed)


def _comparison(found: Contrast, metric: str) -> Comparison:
    better_above = METRICS[metric].higher_is_better
    return comparison_of(found.estimate, *found.scores, scope=found.scope, higher_is_better=better_above)


def decided(pairs: Sequence[Pair], methods: Mapping[str, str]) -> list[Pair]:
    """The pairs of one family with their adjusted p-values and statements, in the same order.

    methods: of `methods_of`. What is compared twice under other labels counts once, with its p of most
    seeds, beside which each of its pairs has its own p adjusted; a method with itself does not count. A
    statement that failed runs at the majority answer change is inconclusive.
    """
    compared = [tuple(sorted((methods[pair.loss_a], methods[pair.loss_b]))) for pair in pairs]
    by_seeds = sorted(zip(compared, pairs, strict=True), key=lambda found: found[1].comparison.n_seeds)
    p_values = {own: pair.comparison.p_value for own, pair in by_seeds if not pair.contrast.same}
    level = holm_level(holm([*p_values.values()]))

    def adjusted(own: tuple[str, ...], p_value: float) -> float:
        return float(holm([*(p_values | {own: p_value}).values()])[list(p_values).index(own)])

    found = []
    for own, pair in zip(compared, pairs, strict=True):
        if pair.contrast.same:
            found.append(replace(pair, p_holm=pair.comparison.p_value))
            continue
        p_holm = adjusted(own, pair.comparison.p_value)
        comparison = decide(pair.comparison, p_holm, level)
        if pair.with_failed is not None and comparison.statement != "not testable":
            p_failed = adjusted(own, pair.with_failed.p_value)
            comparison = _robust(comparison, decide(pair.with_failed, p_failed, level))
        found.append(replace(pair, comparison=comparison, p_holm=p_holm))
    return found


def alone(pair: Pair) -> Pair:
    """The pair with its statement where it belongs to no family."""
    if pair.with_failed is None or pair.comparison.statement == "not testable":
        return pair
    return replace(pair, comparison=_robust(pair.comparison, pair.with_failed))


def _robust(comparison: Comparison, with_failed: Comparison) -> Comparison:
    if comparison.statement == with_failed.statement:
        return comparison
    reason = f"depends on failed runs: {comparison.statement} without them, {with_failed.statement} with them"
    return replace(comparison, statement="inconclusive", reason=f"{reason} at the majority answer")


def methods_of(book: ScoreBook, losses: _Losses, metric: str) -> dict[str, str]:
    """By label the first one with equal scores in all replicates that both have: they are one method."""
    scores = {label: _scores(book, rows, metric) for label, rows in losses.items()}
    methods: dict[str, str] = {}
    for label, own in scores.items():
        firsts = [other for other, method in methods.items() if other == method]
        same = (other for other in firsts if _equal(own, scores[other]))
        methods[label] = next(same, label)
    return methods


def _scores(book: ScoreBook, rows: pd.DataFrame, metric: str) -> dict[int, np.ndarray]:
    """Values of each example by replicate."""
    of_runs = zip(rows["run_id"], rows["replicate"], strict=True)
    return {
        int(replicate): book.matrix([run_id], metric).values[0]
        for run_id, replicate in of_runs
        if book.having([run_id], metric)
    }


def _equal(a: Mapping[int, np.ndarray], b: Mapping[int, np.ndarray]) -> bool:
    common = a.keys() & b.keys()
    return bool(common) and all(np.array_equal(a[replicate], b[replicate]) for replicate in common)
