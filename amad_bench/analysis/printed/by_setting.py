"""Printed tables of a table with settings: one per family, task and data set."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from amad_bench.analysis.printed.axes import by_data, sentence, shared_and_own
from amad_bench.analysis.printed.table import PrintedTable
from amad_bench.plan.catalogue import METRICS

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column for readers. text: of its field in a row of the table."""

    heading: str
    text: Callable[[Row], str]
    number: bool = True


def by_setting(
    frame: pd.DataFrame, what: str, columns: Sequence[Column], notes: Sequence[str] = ()
) -> list[PrintedTable]:
    """A table per family, task and data set; the settings' own words stand in front where there are several.

    what: is in them, for the titles. notes: to be said of all rows.
    """
    found = []
    for name, rows in by_data(frame):
        shared, own = shared_and_own(rows, named=("family", "task", "dataset", "metric"))
        settings = [Column("Setting", lambda row: row["words"], number=False)] if any(own) else []
        every = [*settings, *columns]
        records = [
            row | {"words": ", ".join(words)} for row, words in zip(rows.to_dict("records"), own, strict=True)
        ]
        title = f"{name}: {what}, {_label(rows['metric'].iloc[0])}"
        found.append(of_columns(title, every, records, sentence([*shared, *notes])))
    return found


def of_columns(title: str, columns: Sequence[Column], records: Sequence[Row], note: str = "") -> PrintedTable:
    """A table with a row for each of the records."""
    return PrintedTable(
        title=title,
        columns=tuple(column.heading for column in columns),
        numbers=tuple(column.number for column in columns),
        rows=tuple(tuple(column.text(row) for column in columns) for row in records),
        note=note,
    )


def _label(metric: str) -> str:
    """ "CIDEr"; says so where less is better."""
    record = METRICS[metric]
    return record.label + ("" if record.higher_is_better else " (less is better)")
