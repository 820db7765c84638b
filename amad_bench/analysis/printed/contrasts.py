"""Contrasts of losses as readers see them: within settings, and across blocks."""

from typing import Any

import pandas as pd

from amad_bench.analysis.settings import SETTING, grouped
from amad_bench.analysis.printed.axes import by_data, sentence, shared_and_own
from amad_bench.analysis.printed.numbers import interval, p_value, points
from amad_bench.analysis.printed.table import ShownTable
from amad_bench.plan.catalogue import METRICS


def comparisons_tables(comparisons: pd.DataFrame) -> list[ShownTable]:
    """From the table `comparisons` (or `pairs_of_runs`): a table per family, task and data set."""
    return [_comparisons(name, rows) for name, rows in by_data(comparisons)]


def _comparisons(name: str, comparisons: pd.DataFrame) -> ShownTable:
    settings = grouped(comparisons, SETTING)
    first: Any = pd.DataFrame([rows.iloc[0] for _, rows in settings])
    shared, own = shared_and_own(first)
    several = len(settings) > 1
    cells = []
    for words, (_, rows) in zip(own, settings, strict=True):
        for row in rows.to_dict("records"):
            cells.append(
                (
                    *([", ".join(words)] if several else []),
                    contrast_name(row),
                    points(row["difference"], signed=True),
                    interval(row["ci_low"], row["ci_high"]),
                    *([p_value(row["p_holm"])] if "p_holm" in row else []),
                    points(row["shown_80"]),
                    str(row["n_seeds"]),
                    row["statement"],
                )
            )
    metric = METRICS[comparisons["metric"].iloc[0]]
    columns = ["Contrast", "Difference", "95 % interval", "p (Holm)", "Shown", "Seeds", "Statement"]
    numbers = [False, True, True, True, True, True, False]
    if "p_holm" not in comparisons:
        del columns[3], numbers[3]
    return ShownTable(
        title=f"{name}: differences in {metric.label}, points{'' if metric.higher_is_better else ' (less is better)'}",
        columns=(*(["Setting"] if several else []), *columns),
        numbers=(*([False] if several else []), *numbers),
        rows=tuple(cells),
        note=sentence([*shared, "shown: the difference that this design shows with 80 % power", "exploratory"]),
    )


def blocks_table(blocks: pd.DataFrame) -> ShownTable:
    """From the table `blocks`: one table, a row per contrast and choice of blocks."""
    cells = [
        (
            row["over"],
            contrast_name(row),
            _difference(row),
            interval(row["ci_low"], row["ci_high"]),
            p_value(row["p_value"]),
            points(row["shown_80"]),
            f"{row['n_blocks']}",
            f"{row['n_better']} of {row['n_tested']}",
            row["statement"],
        )
        for row in blocks.to_dict("records")
    ]
    return ShownTable(
        title="Differences across blocks",
        columns=("Blocks", "Contrast", "Difference", "95 % interval", "p", "Shown", "K", "k of N", "Statement"),
        numbers=(False, False, True, True, True, True, True, True, False),
        rows=tuple(cells),
        note="In points where all blocks share a metric, else in per cent of a block's mean ce score (%). "
        "K: blocks that count; k of N: in so many blocks of N a difference in that direction is shown. "
        "Shown: the difference that this design shows with 80 % power. Exploratory.",
    )


def contrast_name(row: Any) -> str:
    """ "amad_kl − ce"."""
    return f"{row['loss_a']} − {row['loss_b']}"


def _difference(row: Any) -> str:
    return points(row["difference"], signed=True) + ("" if row["unit"] == "points" else " %")
