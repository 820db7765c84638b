"""The functions behind the catalogue's metrics, found by the file and the name in their records."""

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from amad_bench.plan.catalogue import METRICS, Metric
from amad_bench.plan.shown import unknown
from amad_bench.scoring.measured import Corpora, Measured, Rows


def measure(metrics: Iterable[str], corpora: Sequence[Rows]) -> list[dict[str, Measured]]:
    """Each corpus by these metrics; what several of them need is made once.

    UserError for texts that a metric cannot take, ValueError for an unknown metric.
    """
    together = Corpora(corpora)
    found: dict[str, list[Measured]] = {}
    for metric in metrics:
        if metric not in METRICS:
            raise ValueError(unknown("metric", metric, METRICS))
        found[metric] = function_of(METRICS[metric], "measure")(together)
    return [{metric: own[number] for metric, own in found.items()} for number in range(len(corpora))]


def corpus_score(metric: str, summed: ArrayLike) -> np.ndarray | float:
    """The corpus score (...) of statistics (..., k) already summed over examples; a float for one sum.

    In the metric's own units. ValueError for a metric that is none of a corpus, or another k.
    """
    corpus_metrics = [name for name, record in METRICS.items() if record.statistics]
    if metric not in corpus_metrics:
        raise ValueError(f"{metric!r} is no corpus metric; known: {', '.join(corpus_metrics)}")
    sums, expected = np.asarray(summed, dtype=np.float64), METRICS[metric].statistics
    if sums.shape[-1:] != (expected,):
        raise ValueError(f"{metric}: expected statistics (..., {expected}), got {sums.shape}")
    score = np.asarray(function_of(METRICS[metric], "total")(sums))
    return score if score.ndim else float(score)


def trouble(metric: str, summed_SK: np.ndarray) -> str:
    """Reason why runs with these sums of statistics cannot be compared, or ""."""
    record = METRICS[metric]
    return function(summed_SK) if (function := _found(record, "trouble")) else ""


def function_of(metric: Metric, what: str) -> Callable[..., Any]:
    """The metric's function `what`_<name>: "measure" or, of a corpus metric, "total".

    measure(corpora) -> a `Measured` for each corpus; total(sums (..., k)) -> scores (...). A corpus metric
    may have a third, `trouble`: sums of runs (S, k) -> why these cannot be compared, or "".
    """
    function = _found(metric, what)
    if function is None:
        raise AttributeError(f"amad_bench/scoring/{metric.file}.py has no {what}_{metric.name.lower()}")
    return function


def _found(metric: Metric, what: str) -> Callable[..., Any] | None:
    module = import_module(f"amad_bench.scoring.{metric.file}")
    return getattr(module, f"{what}_{metric.name.lower()}", None)
