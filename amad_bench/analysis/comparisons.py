"""Comparison of A with B: would A beat B again, with other seeds and other test examples? Holm for several.

Axes: S seeds, C clusters, N examples, K sufficient statistics.
"""

import math
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from amad_bench.analysis.influence import Floats, Statistic, influence_of_mean, influence_of_statistic
from amad_bench.analysis.significance.outcome import ALPHA, Outcome
from amad_bench.plan.catalogue import SIGNIFICANCE_TESTS
from amad_bench.plan.shown import unknown

CROSSED = "crossed"  # the test that tables are made with
ROUNDING = 1e-9  # relative to the largest score: what is smaller is no variation
NAN = math.nan

Statement = Literal["equivalent", "better", "worse", "inconclusive", "not testable"]


@dataclass(frozen=True)
class Comparison:
    """A minus B, in the units of the scores; `ci_*` is the 95 % interval. What cannot be computed is NaN.

    p_superiority: chance that a run of A is better than a run of B (all pairs of seeds, ties one half).
    effect_in_seed_sd: the difference over the pooled standard deviation of A's and B's scores over seeds.
    scope: what the statement speaks about; reason: what the statement rests on. higher_is_better: of the
    scores, so that A is better than B where the difference is above 0, or else below.
    """

    difference: float = NAN
    ci_low: float = NAN
    ci_high: float = NAN
    p_value: float = NAN
    df: float = NAN
    n_seeds: int = 0
    n_examples: int = 0
    n_clusters: int = 0
    p_superiority: float = NAN
    effect_in_seed_sd: float = NAN
    statement: Statement = "not testable"
    reason: str = ""
    scope: str = ""
    method: str = ""
    higher_is_better: bool = True


def compare(
    a: ArrayLike,
    b: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    statistic: Statistic | None = None,
    region: float | None = None,
    scope: str = "this teacher",
    test: str = CROSSED,
    higher_is_better: bool = True,
) -> Comparison:
    """Score of A minus score of B with its uncertainty over seeds and clusters of examples.

    a, b: (S, N) values, paired in both axes; their mean over N is the score. With `statistic` they are
    (S, N, K) sufficient statistics, and `statistic` maps their (..., K) sums to (...) scores. clusters: (N,)
    labels, by default one cluster per example. region: half-width of equivalence, in the units of the scores.
    test: name of a test of significance in the catalogue. With one seed the scope is "this pair of runs".
    ValueError: shapes that differ, values that are not finite, an unknown test.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"a has shape {a.shape}, b {b.shape}: paired scores have the same")
    if region is not None and not region > 0:
        raise ValueError(f"region is {region}: half the width of the region of equivalence, above 0")
    labels = _checked(a, "a", clusters, statistic)
    _checked(b, "b", clusters, statistic)

    a_S, b_S = _scores(a, statistic), _scores(b, statistic)
    if statistic is None:
        influence_SC, largest = influence_of_mean(a - b, labels), max(np.abs(a).max(), np.abs(b).max())
    else:
        influence_SC = influence_of_statistic(a, labels, statistic) - influence_of_statistic(
            b, labels, statistic
        )
        largest = max(np.abs(a_S).max(), np.abs(b_S).max())
    tolerance = ROUNDING * float(largest)
    difference = float(np.mean(a_S - b_S))
    seeds, n_clusters = influence_SC.shape
    outcome = _outcome(test, difference, influence_SC, tolerance)

    pairs_SS = a_S[:, None] - b_S[None, :]
    pairs_SS[np.abs(pairs_SS) <= tolerance] = 0.0
    pooled_sd = math.sqrt((a_S.var(ddof=1) + b_S.var(ddof=1)) / 2) if seeds > 1 else 0.0
    undecided = Comparison(
        difference=difference,
        ci_low=outcome.ci_low,
        ci_high=outcome.ci_high,
        p_value=outcome.p_value,
        df=outcome.df,
        n_seeds=seeds,
        n_examples=a.shape[1],
        n_clusters=n_clusters,
        p_superiority=float(np.mean((np.sign(pairs_SS if higher_is_better else -pairs_SS) + 1) / 2)),
        effect_in_seed_sd=difference / pooled_sd if pooled_sd > tolerance else NAN,
        statement="inconclusive",
        scope=scope if seeds > 1 else "this pair of runs",
        method=f"{outcome.method or SIGNIFICANCE_TESTS[test].label}, {_values(statistic)}",
        higher_is_better=higher_is_better,
    )
    if outcome.trouble:
        return not_testable(undecided, outcome.trouble)
    return decide(undecided, outcome.p_value, ALPHA, region)


def estimate(
    a: ArrayLike, *, clusters: ArrayLike | None = None, statistic: Statistic | None = None
) -> tuple[float, float, float]:
    """(score, ci_low, ci_high) of one method: mean over seeds, 95 % interval by the tables' test.

    Arguments as there. The interval is NaN where nothing varies or there is one cluster only.
    """
    a = np.asarray(a, dtype=np.float64)
    labels = _checked(a, "a", clusters, statistic)
    a_S = _scores(a, statistic)
    influence_SC = (
        influence_of_mean(a, labels) if statistic is None else influence_of_statistic(a, labels, statistic)
    )
    mean = float(a_S.mean())
    outcome = _outcome(CROSSED, mean, influence_SC, ROUNDING * float(np.abs(a_S).max()))
    if outcome.trouble or outcome.ci_low == outcome.ci_high:
        return mean, NAN, NAN
    return mean, outcome.ci_low, outcome.ci_high


def decide(comparison: Comparison, p_value: float, level: float, region: float | None = None) -> Comparison:
    """The comparison with the statement that its interval and `p_value` (raw or adjusted) allow.

    level: what the raw p has to reach (ALPHA for a single comparison, see `holm_level` for one of a family).
    """
    if comparison.statement == "not testable":
        return comparison
    if region is not None and -region <= comparison.ci_low and comparison.ci_high <= region:
        reason = f"the 95 % interval lies within ±{region:g}"
        return replace(comparison, statement="equivalent", reason=reason)
    if p_value <= ALPHA:
        statement = "better" if (comparison.difference > 0) == comparison.higher_is_better else "worse"
        return replace(comparison, statement=statement, reason=f"p = {p_value:.2g}")
    if comparison.ci_low == comparison.ci_high:
        reason = "the paired scores do not differ in any cluster of any seed"
    elif math.isnan(comparison.df):
        reason = f"p = {p_value:.2g}"
    else:
        half_width = (comparison.ci_high - comparison.ci_low) / 2
        smallest = half_width * _quantile(level, comparison.df) / _quantile(ALPHA, comparison.df)
        reason = f"smallest difference that could have been shown: {_plain(smallest)}"
    return replace(comparison, statement="inconclusive", reason=reason)


def not_testable(comparison: Comparison, reason: str) -> Comparison:
    """The comparison without interval and p-value."""
    nothing = {"ci_low": NAN, "ci_high": NAN, "p_value": NAN, "df": NAN}
    return replace(comparison, **nothing, statement="not testable", reason=reason)


def holm(p_values: ArrayLike) -> Floats:
    """Holm's (1979) adjusted p-values of one family; NaN (not testable) stays NaN and does not count."""
    p = np.asarray(p_values, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    adjusted = np.full_like(p, NAN)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted


def holm_level(adjusted: Floats) -> float:
    """The raw p that one more comparison of the family would have needed: ALPHA over those not rejected."""
    return ALPHA / max(1, int(np.sum(adjusted > ALPHA)))


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
    return labels


def _scores(a: Floats, statistic: Statistic | None) -> Floats:
    """(S,) scores."""
    return a.mean(axis=1) if statistic is None else np.asarray(statistic(a.sum(axis=1)), dtype=np.float64)


def _outcome(test: str, center: float, influence_SC: Floats, tolerance: float) -> Outcome:
    """The test of a mean against 0, or the reason why none could say anything."""
    if test not in SIGNIFICANCE_TESTS:
        raise ValueError(unknown("test of significance", test, SIGNIFICANCE_TESTS))
    record, (seeds, clusters) = SIGNIFICANCE_TESTS[test], influence_SC.shape
    outcome = import_module(f"amad_bench.analysis.significance.{record.name}").assess
    if clusters < 2:
        return Outcome(trouble="one cluster: no variance between clusters can be estimated")
    if not np.isfinite(influence_SC).all():
        return Outcome(trouble="the score is undefined when one of the clusters is left out")
    if seeds < record.seeds:
        return Outcome(trouble=f"{record.label}: needs {record.seeds} seeds, there are {seeds}")
    return outcome(center, influence_SC, tolerance)


def _quantile(level: float, df: float) -> float:
    """Quantile of |t| that is exceeded with probability `level`."""
    return float(stats.t.ppf(1 - level / 2, df))


def _plain(value: float) -> str:
    """Three significant digits, never an exponent."""
    return np.format_float_positional(value, precision=3, fractional=False, trim="-")


def _values(statistic: Statistic | None) -> str:
    return "influence values of the mean" if statistic is None else "delete-one-cluster jackknife"
