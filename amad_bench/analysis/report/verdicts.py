"""The first that the report says: each registered claim with its verdict, and the parts that it rests on."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd

from amad_bench.analysis.report.columns import Column
from amad_bench.analysis.report.table import ReportTable, report_table

VERDICTS = ("supported", "contradicted", "inconclusive", "not testable here")  # in the order of a summary
_PARTS = [
    Column("Part", "part"),
    Column("Claimed", "direction"),
    Column("Difference [95 %]", ("difference", "ci_low", "ci_high"), "interval", 1, plus=True),
    Column("Unit", "unit"),
    Column("p", "p_value", "p", says="one-sided, in the claim's direction"),
    Column("Blocks", "n_blocks", "number"),
    Column("Seeds", "n_seeds", "number"),
    Column("Shown", "shown_80", "number", 1, says="the smallest difference shown with 80 % power"),
    Column("Statement", "statement", "word"),
    Column("Reason", "reason", "long"),
]


@dataclass(frozen=True)
class ShownClaim:
    """A claim as a row of the table `claims`, and the table of its parts (None where none was tested)."""

    row: dict[str, Any]
    parts: ReportTable | None


def shown_claims(claims: pd.DataFrame, parts: pd.DataFrame) -> list[ShownClaim]:
    """The claims in the order of their file, those that cannot be tested here last; NaN and None are ""."""
    found = []
    for row in claims.astype(object).where(claims.notna(), "").to_dict("records"):
        own: Any = parts[parts["claim"] == row["claim"]]
        table = report_table(f"claim_{row['claim']}", f"Parts of {row['claim']}", "", own, _PARTS)
        found.append(ShownClaim(row, table if len(own) else None))
    return sorted(found, key=lambda claim: claim.row["verdict"] == VERDICTS[-1])


def summary(claims: pd.DataFrame) -> str:
    """One sentence: how many claims have which verdict."""
    if claims.empty:
        return "No claim was registered before these runs: all that follows is exploratory."
    counts = Counter(claims["verdict"])
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
    number = len(claims)
    return f"{number} claim{' was' if number == 1 else 's were'} registered before the runs: {said}."
