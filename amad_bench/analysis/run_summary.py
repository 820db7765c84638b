"""Summaries of the table `runs` that both the report and the paper state."""

from typing import Any

import pandas as pd


def replicates(runs: pd.DataFrame) -> list[int]:
    """The numbers of replicates, each once, in order: tasks may have their own."""
    students: Any = runs[runs["kind"] == "student"]
    by_task = students.groupby(["family", "task", "dataset"])["replicate"].nunique()
    return sorted({int(number) for number in by_task})


def commits(runs: pd.DataFrame) -> list[tuple[str, bool]]:
    """Each commit once, or twice when it was used with and without uncommitted changes (True)."""
    made: Any = runs.reindex(columns=["commit", "dirty"]).dropna(subset=["commit"])
    return sorted({(row["commit"], row["dirty"] is True) for row in made.to_dict("records")})


def distinct(runs: pd.DataFrame, column: str) -> list[str]:
    """The values that occur in a column, in order; none of a column that is not there."""
    return sorted({str(value) for value in runs[column].dropna()}) if column in runs else []
