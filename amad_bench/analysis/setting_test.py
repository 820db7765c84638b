"""All losses of one setting together: what a pair gains if all losses are equally unstable. Never a verdict.

Axes: L losses, S seeds. Scores m_ls = mu_l + a_s + (la)_ls; MS_ls, of (la), has (L - 1)(S - 1) degrees of
freedom where a pair has S - 1. It gains most at two and three seeds. With one unstable loss it is wrong (.16
rejections at .05, .11 with the guard).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from amad_bench.analysis.estimates import CLUSTERS, SEEDS, Estimate, Part
from amad_bench.analysis.influence import Floats
from amad_bench.analysis.shown import satterthwaite_df
from amad_bench.analysis.significance.outcome import ALPHA
from amad_bench.analysis.significance.weighted_t import assess
from amad_bench.plan.catalogue import Metric

FEWEST_DF = 4
SHARE = (0.0, 100.0)  # bounds of the metrics whose losses are pooled, in points


@dataclass(frozen=True)
class Pool:
    """Mean squares of the two-way table of scores, losses by seeds."""

    ms_seed: float
    ms_loss_seed: float
    n_losses: int
    n_seeds: int

    @property
    def df(self) -> int:
        """Degrees of freedom of `ms_loss_seed`."""
        return (self.n_losses - 1) * (self.n_seeds - 1)


@dataclass(frozen=True)
class SettingTest:
    """The pair's test with the pooled variance between seeds; NaN and `trouble` where there is none.

    levene_p: of the hypothesis that all losses that are pooled vary alike over seeds (medians; from three
    seeds on). n_losses: how many are.
    """

    p_value: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    levene_p: float = math.nan
    n_losses: int = 0
    trouble: str = ""


def pooled(scores_LS: Floats) -> Pool:
    """Mean squares of the scores of L losses with the same S seeds; ValueError below two of either."""
    losses, seeds = scores_LS.shape
    if min(losses, seeds) < 2:
        raise ValueError(f"scores of shape {scores_LS.shape}: two or more losses and seeds are needed")
    centred_LS = scores_LS - scores_LS.mean(axis=1, keepdims=True)
    by_seed_S = centred_LS.mean(axis=0)
    left_LS = centred_LS - by_seed_S
    return Pool(
        losses * float(np.square(by_seed_S).sum()) / (seeds - 1),
        float(np.square(left_LS).sum()) / ((losses - 1) * (seeds - 1)),
        losses,
        seeds,
    )


def setting_test(
    estimate: Estimate, scores_LS: Floats, pair: tuple[int, int], metric: Metric, level: float = ALPHA
) -> SettingTest:
    """The test of a pair with w_s = max(its own, 2 MS_ls / S) and (L - 1)(S - 1) degrees of freedom.

    estimate: of the pair. scores_LS: scores in points of all losses of the setting that have all seeds of the
    pair; pair: its two rows. Pooled are losses whose m (100 - m) is at least half of the pair's mean one, on
    metrics from 0 to 100 points. No test: other metrics, a loss of the pair that is not like the pair, fewer
    than four degrees of freedom, and where the pair has none.
    """
    if scores_LS.shape[-1] != estimate.n_seeds:
        raise ValueError(f"scores of shape {scores_LS.shape} and an estimate of {estimate.n_seeds} seeds")
    if estimate.trouble or estimate.n_seeds < 2:
        return SettingTest(trouble=estimate.trouble or "one seed: nothing to pool")
    if (metric.minimum, metric.maximum) != SHARE:
        return SettingTest(trouble=f"{metric.label} is no share: losses with other means vary differently")
    alike_L = alike(scores_LS, pair)
    count = int(alike_L.sum())
    if not alike_L[list(pair)].all():
        return SettingTest(
            trouble="the two losses of the pair are too far apart to vary alike", n_losses=count
        )
    if (df := (count - 1) * (estimate.n_seeds - 1)) < FEWEST_DF:
        return SettingTest(trouble=f"{df} degrees of freedom: {FEWEST_DF} are needed", n_losses=count)
    kept_LS = scores_LS[alike_L]
    outcome = assess(_with_pool(estimate, pooled(kept_LS)), level)
    levene = _levene_p(kept_LS)
    return SettingTest(outcome.p_value, outcome.ci_low, outcome.ci_high, levene, count, outcome.trouble)


def mean_interval(estimate: Estimate, pool: Pool | None = None, level: float = ALPHA) -> tuple[float, float]:
    """(ci_low, ci_high) of one loss's mean over its S seeds; NaN where it is not testable or nothing varies.

    Variance [MS_S + (L - 1) MS_ls] / (L S) + w_c with Satterthwaite's degrees of freedom. estimate: of that
    loss. pool: of all losses of the setting; without one, and with one seed, the parts are the estimate's own
    and held against the weighted quantile of their t's, with two seeds, too: Satterthwaite's t covers .88
    there where seeds vary most, this one .945.
    """
    if estimate.trouble or not estimate.varies:
        return math.nan, math.nan
    if pool is None or estimate.n_seeds == 1:
        weighted = sum(part.variance * stats.t.isf(level / 2, part.df) for part in estimate.parts)
        half_width = float(weighted) / math.sqrt(estimate.variance)
        return estimate.value - half_width, estimate.value + half_width
    count = pool.n_losses * estimate.n_seeds
    parts = (
        Part(SEEDS, pool.ms_seed / count, pool.n_seeds - 1),
        Part(SEEDS, (pool.n_losses - 1) * pool.ms_loss_seed / count, pool.df),
        *(part for part in estimate.parts if part.source == CLUSTERS),
    )
    variance = sum(part.variance for part in parts)
    half_width = float(stats.t.isf(level / 2, satterthwaite_df(parts))) * math.sqrt(variance)
    return estimate.value - half_width, estimate.value + half_width


def alike(scores_LS: Floats, pair: tuple[int, int]) -> NDArray[np.bool_]:
    """(L,) losses with at least half of the pair's m (100 - m), what the variance of a share goes with."""
    mean_L = scores_LS.mean(axis=1)
    spread_L = (mean_L - SHARE[0]) * (SHARE[1] - mean_L)
    return spread_L >= spread_L[list(pair)].mean() / 2


def _with_pool(estimate: Estimate, pool: Pool) -> Estimate:
    own = sum(part.variance for part in estimate.parts if part.source == SEEDS)
    guarded = Part(SEEDS, max(own, 2 * pool.ms_loss_seed / pool.n_seeds), pool.df)
    of_clusters = (part for part in estimate.parts if part.source == CLUSTERS)
    return replace(estimate, parts=(guarded, *of_clusters))


def _levene_p(scores_LS: Floats) -> float:
    """With two seeds both are as far from their median, and the test would always reject."""
    if scores_LS.shape[1] < 3 or not np.ptp(scores_LS, axis=1).any():
        return math.nan
    return float(stats.levene(*scores_LS, center="median").pvalue)
