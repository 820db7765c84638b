"""Tables about single settings: room for distillation, ranks, sources of variance."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from amad_bench.analysis.printed.by_setting import Column, Row, by_setting, of_columns
from amad_bench.analysis.printed.numbers import points, share
from amad_bench.analysis.printed.table import NOTHING, PrintedTable
from amad_bench.analysis.settings import grouped


def headroom_tables(headroom: pd.DataFrame) -> list[PrintedTable]:
    """From the table `headroom`, scores in per cent of what can be reached."""
    scores = {
        "Teacher": "teacher",
        "ce": "ce",
        "Teacher − ce": "difference",
        "Majority": "majority",
        "Teacher, shuffled images": "teacher_blind",
        "ce, shuffled images": "ce_blind",
    }
    columns = [Column(heading, _points_of(column)) for heading, column in scores.items()]
    return by_setting(headroom, "room for distillation", columns, ["in per cent of what can be reached"])


def ranks_tables(ranks: pd.DataFrame) -> list[PrintedTable]:
    """From the table `ranks`."""
    columns = (
        Column("Loss", lambda row: row["loss"], number=False),
        Column("Mean", _points_of("mean")),
        Column("Ranks", _ranks),
    )
    notes = [
        "means in points",
        "ranks: one more than the losses that are significantly better, to those that are not worse",
    ]
    return by_setting(ranks, "ranks that the tests leave open", columns, notes)


def variance_tables(variance: pd.DataFrame) -> list[PrintedTable]:
    """From the table `variance`."""
    columns = (
        Column("Source", lambda row: row["source"], number=False),
        Column("Degrees of freedom", lambda row: f"{row['df']:,.0f}"),
        Column("F", _points_of("F")),
        Column("Share", lambda row: share(row["share"])),
        Column("Standard deviation", _points_of("sd")),
    )
    return by_setting(variance, "where scores vary", columns, ["standard deviations in points"])


def power_tables(power: pd.DataFrame) -> list[PrintedTable]:
    """From the table `power`: the pair and the setting, by setting; the blocks are a table of their own."""
    within: Any = power[power["test"] != "blocks"]
    over: Any = power[power["test"] == "blocks"]
    numbers = (
        Column("Seeds", lambda row: str(row["n_seeds"])),
        Column("Shown", _points_of("shown_80")),
    )
    test = Column("Test", lambda row: row["test"], number=False)
    floor = Column("Floor", _points_of("floor_80"))
    notes = ["in points", "shown: the difference found with 80 % power", "floor: with ever more seeds"]
    found = by_setting(within, "what a design shows", (test, *numbers, floor), notes)
    return [*found, *_power_of_blocks(over, numbers)]


def _power_of_blocks(over: pd.DataFrame, numbers: Sequence[Column]) -> list[PrintedTable]:
    columns = (Column("Blocks", lambda row: str(row["n_blocks"])), *numbers)
    return [
        of_columns(
            "What a design shows across blocks",
            columns,
            rows.to_dict("records"),
            f"In {values['unit']}. Shown: the difference found with 80 % power.",
        )
        for values, rows in grouped(over, ["unit"])
    ]


def _points_of(column: str) -> Callable[[Row], str]:
    return lambda row: NOTHING if pd.isna(row[column]) else points(row[column])


def _ranks(row: Row) -> str:
    ends = dict.fromkeys([str(row["best_rank"]), str(row["worst_rank"])])
    return f"{'–'.join(ends)} of {row['n_losses']}"
