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
        """Scores of runs that all have them, on the same examples; UserError where the examples differ."""
        pages = [self._pages[run_id, split, metric] for run_id in run_ids]
        for run_id, page in zip(run_ids, pages, strict=True):
            for column in ("example_id", "cluster_id"):
                if not np.array_equal(page[column].to_numpy(), pages[0][column].to_numpy()):
                    raise UserError(
                        f"{metric} of run {run_id}: its {column}s on the split {split} are not those of run "
                        f"{run_ids[0]}; delete the folder of the run that is wrong and run again"
                    )
        record = catalogue.METRICS[metric]
        examples, clusters = pd.Index(pages[0]["example_id"]), pages[0]["cluster_id"].to_numpy(dtype=str)
        if not record.statistics:
            values = np.stack([page["value"].to_numpy(dtype=np.float64) for page in pages])
            return ScoreMatrix(values * record.scale, examples, clusters, None)
        statistics = np.stack([np.array(page["statistics"].tolist(), dtype=np.float64) for page in pages])
        return ScoreMatrix(statistics, examples, clusters, partial(_corpus_points, metric))


def _corpus_points(metric: str, sums: Floats) -> Floats:
    return np.asarray(corpus_score(metric, sums), dtype=np.float64) * catalogue.METRICS[metric].scale
