"""The scores of a run's predictions, split by split, as rows of scores.parquet."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from amad_bench.runtime.run_folder.predictions import check_split
from amad_bench.runtime.run_folder.scores import SCORE_COLUMNS
from amad_bench.scoring.measured import Measured, Rows
from amad_bench.scoring.metrics import measure

COLUMNS = tuple(column for column in SCORE_COLUMNS if column not in ("run_id", "split"))


@dataclass(frozen=True)
class Scored:
    """`frame`: per-example scores (COLUMNS; a row per metric and example). `unavailable`: metric -> reason.

    `signatures`: metric -> how it was computed, where its record does not say enough.
    """

    frame: pd.DataFrame
    unavailable: dict[str, str]
    signatures: dict[str, str]


def score_splits(metrics: Sequence[str], rows_by_split: Mapping[str, Rows]) -> dict[str, Scored]:
    """The scores of a run's predictions by these metrics, by split; captions of all splits start Java once.

    `statistics` is None where the corpus score is the mean of `value`.
    UserError for no rows, repeated ids, rows of another split or a wrong number of references.
    """
    for split, rows in rows_by_split.items():
        check_split(split, rows)
    measured = measure(metrics, list(rows_by_split.values()))
    return {
        split: Scored(
            score_frame(rows, found),
            {metric: own.unavailable for metric, own in found.items() if own.unavailable},
            {metric: own.signature for metric, own in found.items() if own.signature},
        )
        for (split, rows), found in zip(rows_by_split.items(), measured, strict=True)
    }


def score_frame(rows: Rows, measured: Mapping[str, Measured]) -> pd.DataFrame:
    """COLUMNS; all examples of the first metric that could be computed, then all of the next."""
    scores = {metric: found for metric, found in measured.items() if not found.unavailable}

    def repeated(values: Iterable[str]) -> pd.Series:
        return pd.Series(list(values) * len(scores), dtype="str")

    statistics: list[list[float] | None] = []
    for found in scores.values():
        statistics.extend(found.statistics if found.statistics is not None else [None] * len(rows))
    return pd.DataFrame(
        {
            "metric": pd.Series([metric for metric in scores for _ in rows], dtype="str"),
            "example_id": repeated(row.example_id for row in rows),
            "cluster_id": repeated(row.cluster_id for row in rows),
            "value": pd.Series([value for own in scores.values() for value in own.values], dtype="float64"),
            "statistics": pd.Series(statistics, dtype=object),
        }
    )
