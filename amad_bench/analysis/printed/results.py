"""Mean test scores: a table per family, task and data set; a row per loss, a column per setting."""

from typing import Any

import pandas as pd

from amad_bench.analysis.settings import SETTING, TEACHER, grouped
from amad_bench.analysis.printed.axes import by_data, sentence, shared_and_own
from amad_bench.analysis.printed.numbers import points
from amad_bench.analysis.printed.table import NOTHING, PrintedTable
from amad_bench.plan.catalogue import METRICS

COLUMNS = 5  # settings side by side, at most


def results_tables(results: pd.DataFrame) -> list[PrintedTable]:
    """From the table `results`, its primary scores: mean and half of the 95 % interval.

    More settings than stand side by side are several tables.
    """
    primary: Any = results[results["primary"]]
    found = []
    for name, rows in by_data(primary):
        settings = grouped(rows, SETTING)
        first: Any = pd.DataFrame([own.iloc[0] for _, own in settings])
        shared, own = shared_and_own(first)
        for start in range(0, len(settings), COLUMNS):
            part = slice(start, start + COLUMNS)
            headings = [", ".join(words) or "score" for words in own[part]]
            found.append(_table(name, shared, headings, [rows for _, rows in settings[part]]))
    return found


def _table(name: str, shared: list[str], headings: list[str], settings: list[pd.DataFrame]) -> PrintedTable:
    metric = METRICS[settings[0]["metric"].iloc[0]]
    losses = list(dict.fromkeys(loss for rows in settings for loss in rows["loss"]))
    by_loss = [rows.set_index("loss").to_dict("index") for rows in settings]
    cells = [(loss, *(_score(of.get(loss)) for of in by_loss)) for loss in losses]
    seeds = sorted({int(n) for rows in settings for n in rows.loc[rows["loss"] != TEACHER, "n_seeds"]})
    examples = sorted({int(n) for rows in settings for n in rows["n_examples"] if n})
    warnings = [text for rows in settings for text in dict.fromkeys(rows["warning"]) if text]
    counted = [f"{_range(seeds)} seeds a loss", f"{_range(examples)} test examples"] if examples else []
    return PrintedTable(
        title=f"{name}: {metric.label}, points{'' if metric.higher_is_better else ' (less is better)'}",
        columns=("Loss", *headings),
        numbers=(False, *(True for _ in headings)),
        rows=tuple(cells),
        note=" ".join([sentence([*shared, *counted]), *(f"Warning: {text}." for text in dict.fromkeys(warnings))]),
    )


def _score(row: dict[str, Any] | None) -> str:
    """ "61.2 ± 1.3"; with the number of failed runs where there are any."""
    if row is None:
        return ""
    half = (row["ci_high"] - row["ci_low"]) / 2
    text = points(row["mean"]) + ("" if pd.isna(half) else f" ± {points(half)}")
    return f"{text} ({row['n_failed']} failed)" if row["n_failed"] else text


def _range(numbers: list[int]) -> str:
    """ "2", or "2 to 5"."""
    if not numbers:
        return NOTHING
    ends = dict.fromkeys([f"{numbers[0]:,}", f"{numbers[-1]:,}"])
    return " to ".join(ends)
