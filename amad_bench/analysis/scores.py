"""The table `scores` as arrays: scores of several runs side by side, on the same examples."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from amad_bench.analysis.influence import Floats, Statistic
from amad_bench.plan import catalogue
from amad_bench.runtime.errors import UserError
from amad_bench.scoring.metrics import corpus_score

_ORDER = ("run_id", "split", "metric", "example_id")


@dataclass(frozen=True)
class ScoreMatrix:
    """Per-example scores of several runs on one metric: (S, N) points, or (S, N, K) statistics.

    statistic: None, or the map from (..., K) sums to points. examples: (N,) ids; clusters: (N,) numbers.
    """

    values: Floats
    examples: pd.Index
    clusters: NDArray
    statistic: Statistic | None

    def scores_S(self) -> Floats:
        """The score of each run over all its examples, in points."""
        return self.scores(self.values)

    def scores(self, values: Floats) -> Floats:
        """(...) scores of (..., N) points or (..., N, K) statistics on these examples."""
        return values.mean(axis=-1) if self.statistic is None else self.statistic(values.sum(axis=-2))

    def part(self, examples: pd.Index) -> "ScoreMatrix":
        """The scores on those of the examples that are here."""
        kept_N = self.examples.isin(examples)
        return replace(
            self,
            values=self.values[:, kept_N],
            examples=self.examples[kept_N],
            clusters=self.clusters[kept_N],
        )


class ScoreBook:
    """The table `scores`, opened at (run, split, metric): one sort, then slices."""

    def __init__(self, scores: pd.DataFrame) -> None:
        runs, splits, metrics, examples = (_numbered(scores[column]) for column in _ORDER)
        pages = (runs.numbers * len(splits.labels) + splits.numbers) * len(metrics.labels) + metrics.numbers
        order = np.argsort(pages * len(examples.labels) + examples.numbers, kind="stable")
        self._examples = replace(examples, numbers=examples.numbers[order])
        clusters = _numbered(scores["cluster_id"])
        self._clusters = replace(clusters, numbers=clusters.numbers[order])
        self._values = scores["value"].to_numpy(dtype=np.float64)[order]
        self._statistics, self._ends = _flat(scores["statistics"], order)
        firsts = np.flatnonzero(np.diff(pages[order], prepend=-1))
        names = zip(*(key.labels[key.numbers[order[firsts]]] for key in (runs, splits, metrics)), strict=True)
        rows = [slice(first, end) for first, end in pairwise([*firsts.tolist(), len(order)])]
        self._pages: dict[tuple[str, str, str], slice] = dict(zip(names, rows, strict=True))

    def having(self, run_ids: Sequence[str], metric: str, split: str = "test") -> list[str]:
        """Runs among these that have such scores."""
        return [run_id for run_id in run_ids if (run_id, split, metric) in self._pages]

    def matrix(self, run_ids: Sequence[str], metric: str, split: str = "test") -> ScoreMatrix:
        """Scores of runs that all have them, on the same examples.

        UserError where the examples or their clusters differ, where a score is no number, and where a cluster
        is missing.
        """
        return self.aligned([(run_id, split) for run_id in run_ids], metric)

    def aligned(self, pages: Sequence[tuple[str, str]], metric: str) -> ScoreMatrix:
        """The same of (run id, split) pairs."""
        record, values = catalogue.METRICS[metric], []
        first = self._pages[*pages[0], metric]
        for run_id, split in pages:
            page = self._pages[run_id, split, metric]
            values.append(self._values_of(page, metric, run_id))
            for name, column in (("example_id", self._examples), ("cluster_id", self._clusters)):
                if not np.array_equal(column.numbers[page], column.numbers[first]):
                    raise UserError(
                        f"{metric} of run {run_id}: its {name}s on the split {split} are not those of run "
                        f"{pages[0][0]}; delete the folder of the run that is wrong and run again"
                    )
        examples = pd.Index(self._examples.labels[self._examples.numbers[first]], dtype=object)
        statistic = partial(_corpus_points, metric) if record.statistics else None
        return ScoreMatrix(np.stack(values), examples, self._clusters.numbers[first], statistic)

    def _values_of(self, page: slice, metric: str, run_id: str) -> Floats:
        """(N,) points or (N, K) statistics of a run."""
        record = catalogue.METRICS[metric]
        values = self._values[page] * record.scale
        broken_N = ~np.isfinite(values)
        if record.statistics:
            starts, ends = self._ends[page], self._ends[page.start + 1 : page.stop + 1]
            broken_N = ends - starts != record.statistics
            if not broken_N.any():
                values = self._statistics[starts[0] : ends[-1]].reshape(-1, record.statistics)
                broken_N = ~np.isfinite(values).all(axis=1)
        missing_N = self._clusters.numbers[page] < 0
        for wrong_N, what in ((broken_N, "score that is no number"), (missing_N, "score without a cluster")):
            if wrong_N.any():
                example = self._examples.labels[self._examples.numbers[page][int(wrong_N.argmax())]]
                raise UserError(
                    f"{metric} of run {run_id}: example {example} has a {what}; delete the run's folder and "
                    "run it again"
                )
        return values


@dataclass(frozen=True)
class _Numbered:
    """A column of texts as numbers, which are in the order of the texts; -1 where there is none."""

    numbers: NDArray[np.int64]
    labels: NDArray


def _numbered(column: Any) -> _Numbered:
    texts = pd.Categorical(column)
    labels = texts.categories.to_numpy(dtype=object)
    order = np.argsort(labels)
    places = np.empty(len(labels) + 1, dtype=np.int64)
    places[order], places[-1] = np.arange(len(labels)), -1
    return _Numbered(places[texts.codes], labels[order])


def _flat(column: Any, order: NDArray) -> tuple[Floats, NDArray]:
    """All numbers of a column of lists in this order, and where those of each row begin; the last end."""
    lists = pa.array(column, pa.list_(pa.float64()), from_pandas=True)
    lists = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    if not np.array_equal(order, np.arange(len(order))):
        lists = lists.take(pa.array(order))
    lengths = lists.value_lengths().fill_null(0).to_numpy()
    return lists.flatten().to_numpy(zero_copy_only=False), np.concatenate([[0], np.cumsum(lengths)])


def _corpus_points(metric: str, sums: Floats) -> Floats:
    return np.asarray(corpus_score(metric, sums), dtype=np.float64) * catalogue.METRICS[metric].scale
