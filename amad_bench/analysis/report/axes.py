"""Axes of settings in a table of the report: a column where rows differ, said once where they do not."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from amad_bench.analysis.settings import TASK_LABELS, UNKNOWN, seen_images
from amad_bench.plan import catalogue

Row = Mapping[str, Any]
_AXES: dict[str, tuple[tuple[str, ...], Callable[[Row], str]]] = {  # label: columns, the phrase made of them
    "Models": (("family",), lambda row: catalogue.FAMILIES[row["family"]].label),
    "Task": (("task",), lambda row: TASK_LABELS[row["task"]]),
    "Data": (("dataset",), lambda row: catalogue.label_of(row["dataset"])),
    "Metric": (("metric",), lambda row: _metrics(row["metric"])),
    "Heads": (
        ("teacher_heads", "student_heads"),
        lambda row: f"{row['teacher_heads']:g} → {row['student_heads']:g}",
    ),
    "Student": (
        ("student", "student_shape"),
        lambda row: f"{row['student']} {row['student_shape']}".strip(),
    ),
    "Pre-training": (
        ("teacher_pretraining", "pretraining"),
        lambda row: f"{row['teacher_pretraining']} → {row['pretraining']}",
    ),
    "Budget": (("budget",), lambda row: f"equal {row['budget']}"),
    "Cut": (("cut",), lambda row: row["cut"]),
    "Training examples": (("examples",), lambda row: str(row["examples"])),
    "Data used": (("limit",), lambda row: row["limit"]),
    "Images as": (("inputs", "features"), seen_images),
    "Images in two splits": (("image_overlap",), lambda row: row["image_overlap"]),
    "Precision": (("precision",), lambda row: row["precision"]),
    "Heads keep": (("heads_keep",), lambda row: row["heads_keep"].replace("_", " ")),
}


def _metrics(names: str) -> str:
    """The label of a metric, or of several with " | " between them."""
    return ", ".join(catalogue.METRICS[name].label for name in names.split(" | "))


def axes_of(frame: pd.DataFrame) -> tuple[dict[str, list[str]], dict[str, str]]:
    """(columns by label for axes on which rows differ, values by label for those on which they are alike).

    A frame without the columns of an axis has neither; one without rows has nothing.
    """
    there = {
        label: phrase for label, (columns, phrase) in _AXES.items() if set(columns) <= set(frame.columns)
    }
    if not there or frame.empty:
        return {}, {}
    columns = list(dict.fromkeys(column for label in there for column in _AXES[label][0]))
    known: Any = frame[columns].astype(object).where(frame[columns].notna(), "")
    distinct: Any = known.drop_duplicates()
    rows: list[Row] = distinct.to_dict("records")
    numbers = known.merge(distinct.assign(number=range(len(rows))), how="left", on=columns)["number"]
    differ, alike = {}, {}
    for label, phrase in there.items():
        known_of = [[row[column] for column in _AXES[label][0]] for row in rows]
        values = [
            phrase(row) if any(of != "" for of in own) else ""
            for row, own in zip(rows, known_of, strict=True)
        ]
        if len(set(values)) > 1:
            if label == "Metric" and "Task" in differ and len(set(differ["Task"])) == len(set(values)):
                continue  # each task's own
            differ[label] = [values[number] for number in numbers]
        elif values[0] not in ("", UNKNOWN):
            alike[label] = values[0]
    return differ, alike
