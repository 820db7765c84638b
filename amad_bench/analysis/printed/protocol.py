"""Models and data that were trained: a row per family, task and data set."""

import json
from typing import Any

import pandas as pd

from amad_bench.analysis.measured_by import dataset_of
from amad_bench.analysis.printed.axes import by_data, counted, sentence
from amad_bench.analysis.printed.table import PrintedTable
from amad_bench.plan import catalogue
from amad_bench.runtime.errors import USABLE


def protocol_table(runs: pd.DataFrame) -> PrintedTable:
    """From the table `runs`, its teachers and students."""
    trained: Any = runs[runs["kind"] != "pretrain"]
    cells = []
    for name, rows in by_data(trained):
        by_kind = {kind: own.to_dict("records") for kind, own in rows.groupby("kind")}
        first = rows.iloc[0]
        metric = catalogue.primary_metric(
            first["task"], dataset_of(first["dataset"], first["dataset_options"])
        )
        cells.append(
            (
                name,
                catalogue.METRICS[metric].label,
                _models(by_kind.get("teacher", [])),
                _models(by_kind.get("student", [])),
                _each(_seen(row, rows) for row in rows.to_dict("records")),
                _each(_test_examples(row) for row in rows.to_dict("records")),
            )
        )
    return PrintedTable(
        title="What was trained",
        columns=("Models and data", "Metric", "Teachers", "Students", "Image input", "Test"),
        numbers=(False, False, False, False, False, True),
        rows=tuple(cells),
        note=sentence(
            [
                "models as layers × width",
                _each(row["limit"] for row in trained.to_dict("records")),
                f"precision {_each(row['precision'] for row in trained.to_dict('records'))}",
            ]
        ),
    )


def _models(records: list[Any]) -> str:
    """ "8 heads, 2 × 64, all examples, 1,500 steps"; what differs is listed."""
    if not records:
        return "none"
    heads = sorted({int(row["heads"]) for row in records}, reverse=True)
    sizes = f"{' or '.join(map(str, heads))} head{'' if heads == [1] else 's'}"
    shapes = _each(row["shape"].replace("x", " × ", 1) for row in records)
    steps = sorted({json.loads(row["training"])["steps"] for row in records})
    spans = " to ".join(dict.fromkeys(f"{end:,}" for end in (steps[0], steps[-1])))
    return f"{sizes}, {shapes}, {_each(counted(row['examples']) for row in records)} examples, {spans} steps"


def _seen(row: Any, rows: pd.DataFrame) -> str:
    """Image input of a run; "" of one that has not read its data, where others have."""
    if isinstance(row["features"], str):
        return row["features"]
    return "" if bool(rows["features"].notna().any()) else row["inputs"]


def _test_examples(row: Any) -> str:
    if row["status"] not in USABLE or not isinstance(row["split_examples"], str):
        return ""
    return f"{json.loads(row['split_examples'])['test']:,}"


def _each(values: Any) -> str:
    """All that occur, in order, each once."""
    return " or ".join(value for value in dict.fromkeys(values) if value)
