"""Contrasts of losses as readers see them: within settings, and across blocks."""

import pandas as pd

from amad_bench.analysis.printed.by_setting import Column, Row, by_setting, of_columns
from amad_bench.analysis.printed.numbers import interval, p_value, points
from amad_bench.analysis.printed.table import NOTHING, PrintedTable

SHOWN = "shown: the difference that this design shows with 80 % power"
_CONTRAST = (
    Column("Contrast", lambda row: f"{row['loss_a']} − {row['loss_b']}", number=False),
    Column("Difference", lambda row: points(row["difference"], signed=True)),
    Column("95 % interval", lambda row: interval(row["ci_low"], row["ci_high"])),
)
_FOUND = (
    Column("Shown", lambda row: points(row["shown_80"])),
    Column("Seeds", lambda row: str(row["n_seeds"])),
    Column("Statement", lambda row: row["statement"], number=False),
)


def comparisons_tables(comparisons: pd.DataFrame) -> list[PrintedTable]:
    """From the table `comparisons`."""
    adjusted = Column("p (Holm)", lambda row: p_value(row["p_holm"]))
    notes = ("in points", f"{SHOWN} at the level of its family", "exploratory")
    return by_setting(comparisons, "differences between losses", (*_CONTRAST, adjusted, *_FOUND), notes)


def pairs_of_runs_tables(pairs: pd.DataFrame) -> list[PrintedTable]:
    """From the table `pairs_of_runs`: one seed each, so that nothing is said about losses."""
    raw = Column("p", lambda row: p_value(row["p_value"]))
    notes = (
        "in points",
        SHOWN,
        "each says something about this pair of runs only, nothing about losses",
        "exploratory",
    )
    return by_setting(pairs, "differences between two runs", (*_CONTRAST, raw, *_FOUND), notes)


def blocks_tables(blocks: pd.DataFrame) -> list[PrintedTable]:
    """From the table `blocks`: a row per contrast and choice of blocks."""
    columns = (
        Column("Blocks", _which, number=False),
        _CONTRAST[0],
        Column("Difference", _difference),
        _CONTRAST[2],
        Column("p", lambda row: p_value(row["p_value"])),
        _FOUND[0],
        Column("K", lambda row: str(row["n_blocks"])),
        Column("k of N", lambda row: f"{row['n_better']} of {row['n_tested']}"),
        _FOUND[2],
    )
    note = (
        "In points where all blocks share a metric, else in per cent of a block's mean ce score. K: "
        "blocks that count. k of N: in so many of N blocks a difference of that sign is shown. "
        f"{SHOWN.capitalize()}. Exploratory."
    )
    records = blocks.to_dict("records")
    return [of_columns("Differences across blocks", columns, records, note)] if records else []


def _which(row: Row) -> str:
    """ "all, unequal heads", with the pre-training and the budget where they are not the usual."""
    words = [row["over"], f"{row['heads']} heads"]
    pretraining = (row["teacher_pretraining"], row["pretraining"])
    words += [] if pretraining == ("none", "none") else [f"pre-training {' → '.join(map(str, pretraining))}"]
    words += [] if row["budget"] == "steps" else ["equal FLOPs"]
    return ", ".join(words)


def _difference(row: Row) -> str:
    text = points(row["difference"], signed=True)
    return text if row["unit"] == "points" or text == NOTHING else f"{text} %"
