"""scores.parquet: a run's scores, a row per split, metric and example."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import write_parquet_atomic
from amad_bench.runtime.parquet import read_arrow


class Score(NamedTuple):
    """A row: the score of an example. statistics: sufficient ones, None where the metric is a mean."""

    run_id: str
    split: str
    metric: str
    example_id: str
    cluster_id: str
    value: float
    statistics: list[float] | None


SCORE_COLUMNS = list(Score._fields)


def write_scores(path: Path, run_id: str, by_split: Mapping[str, pd.DataFrame]) -> None:
    """Write the scores of a run; by split, frames with the other columns."""
    frames = [frame.assign(split=split) for split, frame in by_split.items()]
    scores = pd.concat(frames, ignore_index=True).assign(run_id=run_id)
    write_parquet_atomic(path, scores.reindex(columns=SCORE_COLUMNS))


def read_scores(path: Path, run_id: str, may_be_empty: bool) -> pd.DataFrame:
    """The scores of a finished run; UserError when the file is missing, broken or another run's."""
    what_to_do = "delete the run's folder and run again"
    if not path.exists():
        raise UserError(f"{path}: the run is done but its scores are missing; {what_to_do}")
    scores = read_arrow(path, what_to_do)
    expected = [run_id] if scores.num_rows or not may_be_empty else []
    if (
        scores.column_names != SCORE_COLUMNS
        or scores["run_id"].unique().to_pylist() != expected
        or not _has_lists(scores["statistics"])
    ):
        raise UserError(
            f"{path}: rows of run {run_id} with {', '.join(SCORE_COLUMNS)} were expected; {what_to_do}"
        )
    frame = scores.drop_columns("statistics").to_pandas()
    return frame.assign(statistics=pd.Series(_lists(scores["statistics"]), dtype=object, index=frame.index))


def _has_lists(column: pa.ChunkedArray) -> bool:
    return column.null_count == len(column) or pa.types.is_list(column.type)


def _lists(column: pa.ChunkedArray) -> list[list[float] | None]:
    """Values of a column of lists, quicker than one by one."""
    if column.null_count == len(column):
        return [None] * len(column)
    found: list[list[float] | None] = []
    for chunk in column.chunks:
        numbers, ends = chunk.values.to_pylist(), chunk.offsets.to_pylist()
        there = chunk.is_valid().to_pylist()
        found += [
            numbers[start:end] if valid else None
            for start, end, valid in zip(ends, ends[1:], there, strict=False)
        ]
    return found


def statistics_as_lists(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores as they were before they were written: a parquet file gives arrays."""
    lists = [None if value is None else value.tolist() for value in scores["statistics"]]
    return scores.assign(statistics=pd.Series(lists, dtype=object, index=scores.index))
