"""Registered claims as readers see them."""

from typing import Any

import pandas as pd

from amad_bench.analysis.printed.numbers import interval, p_value, points
from amad_bench.analysis.printed.table import PrintedTable


def claims_tables(claims: pd.DataFrame) -> list[PrintedTable]:
    """From the table `claims`: verdicts."""
    cells = [
        (row["claim"], row["text"], row["verdict"], p_value(row["p_value"]), row["reason"])
        for row in claims.to_dict("records")
    ]
    table = PrintedTable(
        title="Registered claims and what these runs say about them",
        columns=("Claim", "Text", "Verdict", "p", "Why"),
        numbers=(False, False, False, True, False),
        rows=tuple(cells),
        note="p: one-sided, the largest of a claim's parts. A claim is supported where every part has p of "
        "at most half of its level.",
    )
    return [table] if cells else []


def claim_parts_tables(parts: pd.DataFrame) -> list[PrintedTable]:
    """From the table `claim_parts`: the contrasts that the claims consist of."""
    cells = [_part(row) for row in parts.to_dict("records")]
    table = PrintedTable(
        title="The parts of the claims",
        columns=("Claim", "Part", "Estimate", "95 % interval", "p", "Shown", "Blocks", "Statement"),
        numbers=(False, False, True, True, True, True, True, False),
        rows=tuple(cells),
        note="Shown: the difference that this design shows with 80 % power.",
    )
    return [table] if cells else []


def _part(row: Any) -> tuple[str, ...]:
    unit = "" if row["unit"] in ("points", "") else f" {row['unit']}"
    return (
        row["claim"],
        row["part"],
        points(row["difference"], signed=True) + unit,
        interval(row["ci_low"], row["ci_high"]),
        p_value(row["p_value"]),
        points(row["shown_80"]),
        str(row["n_blocks"]),
        row["statement"],
    )
