"""Comparison of A with B: would A beat B again, with other seeds and other test examples?

An estimate of the difference, a test of it and a verdict, each a function of its own.
Axes: S seeds, C clusters, N examples, K sufficient statistics.
"""

import math
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from amad_bench.analysis.estimates import CLUSTERS, SEEDS, Estimate, Part, estimate_of
from amad_bench.analysis.influence import (
    Floats,
    Statistic,
    influence_of,
    kish,
)
from amad_bench.analysis.shown import shown_difference
from amad_bench.analysis.significance.outcome import ALPHA, Outcome, one_sided_p
from amad_bench.plan.catalogue import SIGNIFICANCE_TESTS
from amad_bench.plan.shown import unknown

WEIGHTED_T = "weighted_t"  # the test that tables are made with
ROUNDING = 1e-9  # relative to the largest score: what is smaller is no variation
FEWEST_SEEDS = 5  # for the chance of superiority and effect sizes
ONE_SEED = "this pair of runs"  # scope of what one seed says
NAN = math.nan

Statement = Literal["equivalent", "better", "worse", "inconclusive", "not testable"]


class Verdict(NamedTuple):
    statement: Statement
    reason: str


@dataclass(frozen=True)
class Comparison:
    """A minus B, in the units of the scores; `ci_*` is the 95 % interval. What cannot be computed is NaN.

    df_*: degrees of freedom of the parts of the variance. shown_80: the difference that this design shows
    with 80 % power. From five seeds on: p_superiority, the chance that a run of A is better than a run of B
    (all pairs of seeds, ties one half), and effect_in_seed_sd, the difference over the pooled standard
    deviation of A's and B's scores over seeds. p_equivalent: the larger p of the two one-sided tests against
    the ends of `region`. scope: what the statement speaks about; reason: what the statement rests on.
    higher_is_better: of the scores: whether A is better than B where the difference is above 0, or below.
    """

    difference: float = NAN
    ci_low: float = NAN
    ci_high: float = NAN
    p_value: float = NAN
    df_seeds: float = NAN
    df_clusters: float = NAN
    n_seeds: int = 0
    n_examples: int = 0
    n_clusters: int = 0
    shown_80: float = NAN
    p_superiority: float = NAN
    effect_in_seed_sd: float = NAN
    statement: Statement = "not testable"
    reason: str = ""
    scope: str = ""
    method: str = ""
    higher_is_better: bool = True
    region: float = NAN
    p_equivalent: float = NAN
    parts: tuple[Part, ...] = ()


def compare(
    a: ArrayLike,
    b: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    statistic: Statistic | None = None,
    region: float | None = None,
    scope: str = "this teacher",
    test: str = WEIGHTED_T,
    higher_is_better: bool = True,
) -> Comparison:
    """Score of A minus score of B with its uncertainty over seeds and clusters of examples.

    a, b: (S, N) values, paired in both axes; their mean over N is the score. With `statistic` they are
    (S, N, K) sufficient statistics, and `statistic` maps their (..., K) sums to (...) scores. clusters: (N,)
    labels, by default one cluster per example. region: half-width of equivalence, in the units of the scores.
    test: name of a test of significance in the catalogue. With one seed the scope is "this pair of runs".
    ValueError: shapes that differ, values that are not finite, missing labels, an unknown test.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"a has shape {a.shape}, b {b.shape}: paired scores have the same")
    if region is not None and not region > 0:
        raise ValueError(f"region is {region}: half the width of the region of equivalence, above 0")
    labels = _checked(a, "a", clusters, statistic)
    _checked(b, "b", clusters, statistic)

    a_S, b_S = _scores(a, statistic), _scores(b, statistic)
    tolerance = _tolerance(a if statistic is None else a_S, b if statistic is None else b_S)
    a_SC, b_SC = influence_of(a, labels, statistic), influence_of(b, labels, statistic)
    estimate = estimate_of(
        float(np.mean(a_S - b_S)), a_SC - b_SC, kish=kish(labels), n_examples=a.shape[1], tolerance=tolerance
    )
    constant = max(np.ptp(a_SC), np.ptp(b_SC)) <= tolerance  # two models at 0 are not equivalent
    by_luck = not estimate.varies and np.abs(a_SC - b_SC).max() > tolerance  # nor two that differ
    found = comparison_of(estimate, a_S, b_S, scope=scope, test=test, higher_is_better=higher_is_better)
    if region is None or found.statement == "not testable":
        return found
    p_equivalent = NAN if constant or by_luck else equivalence_p(estimate, region, test)
    return decide(replace(found, region=region, p_equivalent=p_equivalent), found.p_value)


def comparison_of(
    estimate: Estimate,
    a_S: Floats,
    b_S: Floats,
    *,
    scope: str = "this teacher",
    test: str = WEIGHTED_T,
    higher_is_better: bool = True,
) -> Comparison:
    """The comparison that an estimate of a difference gives. a_S, b_S: scores of A and B by seed."""
    outcome = outcome_of(estimate, test)
    superiority, effect = _sizes(a_S, b_S, estimate.tolerance, higher_is_better)
    undecided = Comparison(
        difference=estimate.value,
        ci_low=outcome.ci_low,
        ci_high=outcome.ci_high,
        p_value=outcome.p_value,
        df_seeds=estimate.df(SEEDS),
        df_clusters=estimate.df(CLUSTERS),
        n_seeds=estimate.n_seeds,
        n_examples=estimate.n_examples,
        n_clusters=estimate.n_clusters,
        shown_80=shown_difference(estimate.parts) if estimate.varies else NAN,
        p_superiority=superiority,
        effect_in_seed_sd=effect,
        statement="inconclusive",
        scope=ONE_SEED if estimate.n_seeds == 1 else scope,
        method=_method(test, estimate.parts),
        higher_is_better=higher_is_better,
        parts=estimate.parts,
    )
    if outcome.trouble:
        return not_testable(undecided, outcome.trouble)
    return decide(undecided, outcome.p_value)


def outcome_of(estimate: Estimate, test: str = WEIGHTED_T) -> Outcome:
    """The outcome of a test of significance of the catalogue, or why it could say nothing.

    ValueError: an unknown test.
    """
    if test not in SIGNIFICANCE_TESTS:
        raise ValueError(unknown("test of significance", test, SIGNIFICANCE_TESTS))
    record = SIGNIFICANCE_TESTS[test]
    if estimate.trouble:
        return Outcome(trouble=estimate.trouble)
    if estimate.n_seeds < record.seeds:
        return Outcome(trouble=f"{record.label}: needs {record.seeds} seeds, there are {estimate.n_seeds}")
    return import_module(f"amad_bench.analysis.significance.{record.name}").assess(estimate)


def equivalence_p(estimate: Estimate, region: float, test: str = WEIGHTED_T) -> float:
    """The larger p of two one-sided tests: that the estimate is above -region, and below region.

    At most .025 where the 95 % interval lies within. NaN where it is not testable.
    """
    if not estimate.varies:
        return 0.0 if abs(estimate.value) <= estimate.tolerance else NAN
    above = replace(estimate, value=estimate.value + region)
    below = replace(estimate, value=estimate.value - region)
    of_above = one_sided_p(outcome_of(above, test).p_value, above.value)
    return max(of_above, one_sided_p(outcome_of(below, test).p_value, -below.value))


def verdict(
    difference: float,
    p_value: float,
    *,
    shown: float = NAN,
    level: float = ALPHA,
    higher_is_better: bool = True,
    region: float = NAN,
    p_equivalent: float = NAN,
    trouble: str = "",
) -> Verdict:
    """Statement about a difference, and its reason: the first of these that holds.

    not testable: there is `trouble`. equivalent: p_equivalent (of two one-sided tests, or adjusted in their
    family) is at most .025. better, worse: p_value (raw or adjusted) is at most `level`. Else inconclusive;
    then `shown`, the difference that the design shows with 80 % power, is named.
    """
    if trouble:
        return Verdict("not testable", trouble)
    if p_equivalent <= ALPHA / 2:
        return Verdict("equivalent", f"within ±{region:g}: p = {p_equivalent:.2g} of two one-sided tests")
    if p_value <= level:
        statement = "better" if (difference > 0) == higher_is_better else "worse"
        return Verdict(statement, f"p = {p_value:.2g}")
    if math.isnan(shown):
        return Verdict("inconclusive", "no difference, and no variation between seeds or clusters")
    return Verdict("inconclusive", f"difference that this design shows with 80 % power: {_plain(shown)}")


def decide(
    comparison: Comparison, p_value: float, level: float = ALPHA, p_equivalent: float = NAN
) -> Comparison:
    """The comparison with its verdict.

    p_value, p_equivalent: raw or adjusted; without the second that of the comparison. level: what the raw p
    has to reach (ALPHA for a single comparison, see `holm_level` for one of a family); `shown_80` becomes
    that at this level.
    """
    if comparison.statement == "not testable":
        return comparison
    shown = comparison.shown_80
    if level != ALPHA and not math.isnan(shown):
        shown = shown_difference(comparison.parts, level)
    decided = verdict(
        comparison.difference,
        p_value,
        shown=shown,
        higher_is_better=comparison.higher_is_better,
        region=comparison.region,
        p_equivalent=comparison.p_equivalent if math.isnan(p_equivalent) else p_equivalent,
    )
    return replace(comparison, shown_80=shown, statement=decided.statement, reason=decided.reason)


def not_testable(comparison: Comparison, reason: str) -> Comparison:
    """The comparison without interval and p-value."""
    nothing = dict.fromkeys(("ci_low", "ci_high", "p_value", "shown_80", "p_equivalent"), NAN)
    return replace(comparison, **nothing, statement="not testable", reason=reason)


def _checked(a: Floats, name: str, clusters: ArrayLike | None, statistic: Statistic | None) -> NDArray:
    """The cluster labels (N,), after everything about one array has been checked."""
    axes = "(seeds, examples)" if statistic is None else "(seeds, examples, statistics)"
    if a.ndim != (2 if statistic is None else 3) or 0 in a.shape:
        raise ValueError(f"{name} has shape {a.shape}, expected {axes}, none of them 0")
    if not np.isfinite(a).all():
        raise ValueError(
            f"{name} of shape {a.shape} holds {int((~np.isfinite(a)).sum())} values that are not finite"
        )
    labels = np.arange(a.shape[1]) if clusters is None else np.asarray(clusters)
    if labels.shape != a.shape[1:2]:
        raise ValueError(
            f"clusters has shape {labels.shape}, {name} {a.shape}: one label per example is needed"
        )
    if missing := int(pd.isna(labels).sum()):
        raise ValueError(
            f"clusters holds {missing} missing labels (None or NaN): give each example its cluster"
        )
    return labels


def _scores(a: Floats, statistic: Statistic | None) -> Floats:
    """(S,) scores."""
    return a.mean(axis=1) if statistic is None else np.asarray(statistic(a.sum(axis=1)), dtype=np.float64)


def _tolerance(*scores: Floats) -> float:
    return ROUNDING * max(float(np.abs(values).max()) for values in scores)


def _sizes(a_S: Floats, b_S: Floats, tolerance: float, higher_is_better: bool) -> tuple[float, float]:
    """(p_superiority, effect_in_seed_sd)."""
    if len(a_S) < FEWEST_SEEDS:
        return NAN, NAN
    pairs_SS = a_S[:, None] - b_S[None, :]
    pairs_SS[np.abs(pairs_SS) <= tolerance] = 0.0
    superiority = float(np.mean((np.sign(pairs_SS if higher_is_better else -pairs_SS) + 1) / 2))
    pooled_sd = math.sqrt((a_S.var(ddof=1) + b_S.var(ddof=1)) / 2)
    return superiority, float(np.mean(a_S - b_S)) / pooled_sd if pooled_sd > tolerance else NAN


def _method(test: str, parts: tuple[Part, ...]) -> str:
    over = " and ".join(part.source for part in parts)
    of_what = f" over {over}" if over else ""
    return f"{SIGNIFICANCE_TESTS[test].label}{of_what}, delete-one-cluster jackknife"


def _plain(value: float) -> str:
    """Three significant digits, never an exponent."""
    return np.format_float_positional(value, precision=3, fractional=False, trim="-")
