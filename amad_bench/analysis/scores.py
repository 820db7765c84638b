"""The table `scores` as arrays: scores of several runs side by side, on the same examples."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from amad_bench.analysis.influence import Floats, Statistic
from amad_bench.plan import catalogue
from amad_bench.runtime.errors import UserError
from amad_bench.scoring.metrics import corpus_score


@dataclass(frozen=True)
class ScoreMatrix:
    """Per-example scores of several runs on one metric: (S, N) points, or (S, N, K) statistics.

    statistic: None, or the map from (..., K) sums to points. examples, clusters: (N,).
    """

    values: Floats
    examples: pd.Index
    clusters: NDArray
    statistic: Statistic | None

    def scores_S(self) -> Floats:
        """The score of each run over all its examples, in points."""
        return self.values.mean(axis=1) if self.statistic is None else self.statistic(self.values.sum(axis=1))

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
    """The table `scores`, opened at (run, split, metric)."""

    def __init__(self, scores: pd.DataFrame) -> None:
        ordered = scores.sort_values(["run_id", "split", "metric", "example_id"], kind="stable")
        pages: Any = ordered.groupby(["run_id", "split", "metric"], sort=False)
        self._pages: dict[tuple[str, str, str], pd.DataFrame] = dict(tuple(pages))

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
        record, (first_run, first_split) = catalogue.METRICS[metric], pages[0]
        first = self._pages[first_run, first_split, metric]
        values = []
        for run_id, split in pages:
            page = self._pages[run_id, split, metric]
            values.append(_values(page, metric, run_id))
            for column in ("example_id", "cluster_id"):
                if not np.array_equal(page[column].to_numpy(), first[column].to_numpy()):
                    raise UserError(
                        f"{metric} of run {run_id}: its {column}s on the split {split} are not those of run "
                        f"{first_run}; delete the folder of the run that is wrong and run again"
                    )
        examples, clusters = pd.Index(first["example_id"]), first["cluster_id"].to_numpy(dtype=str)
        statistic = partial(_corpus_points, metric) if record.statistics else None
        return ScoreMatrix(np.stack(values), examples, clusters, statistic)


def _values(page: pd.DataFrame, metric: str, run_id: str) -> Floats:
    """(N,) points or (N, K) statistics of a run."""
    record = catalogue.METRICS[metric]
    if record.statistics:
        values = np.array(page["statistics"].tolist(), dtype=np.float64)
    else:
        values = page["value"].to_numpy(dtype=np.float64) * record.scale
    broken_N = ~np.isfinite(values.reshape(len(page), -1)).all(axis=1)
    missing_N = page["cluster_id"].isna().to_numpy()
    for wrong_N, what in ((broken_N, "score that is no number"), (missing_N, "score without a cluster")):
        if wrong_N.any():
            example = page["example_id"].iloc[int(wrong_N.argmax())]
            raise UserError(
                f"{metric} of run {run_id}: example {example} has a {what}; delete the run's folder and run "
                "it again"
            )
    return values


def _corpus_points(metric: str, sums: Floats) -> Floats:
    return np.asarray(corpus_score(metric, sums), dtype=np.float64) * catalogue.METRICS[metric].scale
