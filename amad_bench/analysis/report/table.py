"""A table of the report as data: what is the same in all rows, headings, and rows as JSON values."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from amad_bench.analysis.report.axes import axes_of
from amad_bench.analysis.report.columns import Column


@dataclass(frozen=True)
class ReportTable:
    """A table. name: of its element. says: a sentence above it. alike: what all rows share, by label.
    warnings: of its rows, each once. columns, rows: JSON values.
    """

    name: str
    title: str
    says: str
    alike: dict[str, str] = field(default_factory=dict[str, str])
    columns: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    rows: list[list[Any]] = field(default_factory=list[list[Any]])
    warnings: list[str] = field(default_factory=list[str])

    @property
    def data(self) -> dict[str, Any]:
        """The JSON object that the page draws the table from."""
        return {"columns": self.columns, "rows": self.rows}


def report_table(
    name: str,
    title: str,
    says: str,
    frame: pd.DataFrame,
    columns: Sequence[Column],
    axes: pd.DataFrame | None = None,
) -> ReportTable:
    """The columns of a frame, behind those of the axes on which its rows differ.

    axes: the columns of the frame among which axes are looked for, if not all.
    A column in which nothing stands is left out.
    """
    differ, alike = axes_of(frame if axes is None else axes)
    shown = [(Column(label), values) for label, values in differ.items()]
    shown += [(column, column.values(frame)) for column in columns]
    kept = [(column, values) for column, values in shown if any(map(_there, values))]
    said = frame["warning"].unique() if "warning" in frame else ()
    warnings = [text for text in said if isinstance(text, str) and text]
    return ReportTable(
        name,
        title,
        says,
        alike,
        [column.heading() for column, _ in kept],
        [list(row) for row in zip(*(values for _, values in kept), strict=True)],
        warnings,
    )


def _there(value: Any) -> bool:
    return value[0] is not None if isinstance(value, list) else value not in ("", None)
