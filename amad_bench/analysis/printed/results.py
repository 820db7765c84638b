"""Mean test scores: a row per loss, a column per setting."""

from typing import Any

import pandas as pd

from amad_bench.analysis.printed.axes import sentence, shared_and_own
from amad_bench.analysis.printed.numbers import points
from amad_bench.analysis.printed.table import NOTHING, PrintedTable
from amad_bench.analysis.settings import SETTING, TEACHER, grouped
from amad_bench.plan.catalogue import METRICS

COLUMNS = 5  # settings side by side, at most


def results_tables(results: pd.DataFrame) -> list[PrintedTable]:
    """From the table `results`, its primary scores: mean and half of the 95 % interval.

    More settings than stand side by side are several tables.
    """
    primary: Any = results[results["primary"]]
    settings = [rows for _, rows in grouped(primary, SETTING)]
    parts = -(-len(settings) // COLUMNS)
    size = -(-len(settings) // max(parts, 1))  # no table with five columns before one with a single one
    return [_table(settings[start : start + size]) for start in range(0, len(settings), max(size, 1))]


def _table(settings: list[pd.DataFrame]) -> PrintedTable:
    first: Any = pd.DataFrame([rows.iloc[0] for rows in settings])
    shared, own = shared_and_own(first)
    losses = list(dict.fromkeys(loss for rows in settings for loss in rows["loss"]))
    by_loss = [rows.set_index("loss").to_dict("index") for rows in settings]
    seeds = sorted({int(n) for rows in settings for n in rows.loc[rows["loss"] != TEACHER, "n_seeds"]})
    examples = sorted({int(n) for rows in settings for n in rows["n_examples"] if n})
    counted = [f"{_range(seeds)} seeds a loss", f"{_range(examples)} test examples"] if examples else []
    warnings = dict.fromkeys(text for rows in settings for text in rows["warning"] if text)
    worse = {METRICS[name].label for name in first["metric"] if not METRICS[name].higher_is_better}
    less = [f"less is better: {', '.join(sorted(worse))}"] if worse else []
    return PrintedTable(
        title="Test scores in points, mean and half of the 95 % interval",
        columns=("Loss", *(", ".join(words) or "Score" for words in own)),
        numbers=(False, *(True for _ in settings)),
        rows=tuple((loss, *(_score(of.get(loss)) for of in by_loss)) for loss in losses),
        note=" ".join([sentence([*shared, *counted, *less]), *(f"Warning: {text}." for text in warnings)]),
    )


def _score(row: dict[str, Any] | None) -> str:
    """ "61.2 ± 1.3"; with the seeds that it rests on where a planned one has no score."""
    if row is None:
        return ""
    half = (row["ci_high"] - row["ci_low"]) / 2
    text = points(row["mean"]) + ("" if pd.isna(half) else f" ± {points(half)}")
    if not row["n_failed"]:
        return text
    return f"{text} ({row['n_seeds']} of {row['n_seeds'] + row['n_failed']} seeds)"


def _range(numbers: list[int]) -> str:
    """ "2", or "2 to 5"."""
    if not numbers:
        return NOTHING
    return " to ".join(dict.fromkeys([f"{numbers[0]:,}", f"{numbers[-1]:,}"]))
