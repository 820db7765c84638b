"""The table `power` as a person reads it: a paragraph per setting and per group of blocks."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from amad_bench.analysis.power.table import BLOCKS, CONDITIONS, OF_SETTING, PAIR, SEEDS_ASKED
from amad_bench.analysis.settings import SETTING, grouped
from amad_bench.runtime.errors import UserError

_HEAD = (
    "The difference that a test finds at .05 with 80 % power, by number of seeds; the last column: with "
    "seeds without end,\nwhat the test set allows. pair: one pair alone. setting: if all its losses are "
    "equally unstable. K blocks: their mean."
)
_NOTHING = "nothing to plan with: no setting has two losses with two seeds in common; train two seeds first"
_NAME, _NUMBER = 12, 8  # characters of a column


def power_text(table: pd.DataFrame) -> str:
    """The text to print. UserError for a table without rows."""
    if table.empty:
        raise UserError(_NOTHING)
    differing = [axis for axis in CONDITIONS if len(set(table[axis])) > 1]  # else all alike, and long
    parts = [_HEAD]
    for axes, rows in grouped(_where(table, "n_blocks", None), [*SETTING, "metric"]):
        parts.append("\n".join([_title(axes, rows.iloc[0].to_dict(), differing), *_of_setting(rows)]))
    for axes, rows in grouped(_where(table, "test", BLOCKS), [*CONDITIONS, "metric", "unit"]):
        title = _title_of_blocks(axes, rows.iloc[0].to_dict(), differing)
        parts.append("\n".join([title, *_of_blocks(rows)]))
    return "\n\n".join(parts)


def _where(table: pd.DataFrame, column: str, value: Any) -> pd.DataFrame:
    """The rows that have a value in a column; None: none."""
    found: Any = table[table[column].isna() if value is None else table[column] == value]
    return found


def _title(axes: Mapping[str, Any], facts: Mapping[str, Any], differing: Sequence[str]) -> str:
    student = f" ({axes['student']})" if axes["student"] else ""
    heads = f"{axes['teacher_heads']} -> {axes['student_heads']} heads{student}"
    names = " ".join(str(axes[axis]) for axis in ("family", "task", "dataset"))
    return (
        f"{names} {heads}{_conditions(axes, differing)}: {axes['metric']} in points\n"
        f"measured on {facts['n_losses']} losses, {facts['n_seeds_measured']} seeds; standard deviations: "
        f"{facts['sd_seed']:.2g} of one seed's paired difference, {facts['sd_images']:.2g} by test examples"
    )


def _title_of_blocks(axes: Mapping[str, Any], facts: Mapping[str, Any], differing: Sequence[str]) -> str:
    measured = int(facts["n_blocks_measured"])
    effect = "not known between blocks" if pd.isna(facts["sd_effect"]) else f"{facts['sd_effect']:.2g}"
    return (
        f"across blocks{_conditions(axes, differing)}: {axes['metric']} in {axes['unit']}\n"
        f"measured on {measured} block{'s' if measured > 1 else ''}; standard deviations: "
        f"{facts['sd_seed']:.2g} of one seed's paired difference, {facts['sd_images']:.2g} by test examples, "
        f"{effect} of the true difference"
    )


def _conditions(axes: Mapping[str, Any], differing: Sequence[str]) -> str:
    return "".join(f", {axis.replace('_', ' ')} {axes[axis]}" for axis in differing)


def _of_setting(rows: pd.DataFrame) -> list[str]:
    tests = [_row(test, _where(rows, "test", test), SEEDS_ASKED) for test in (PAIR, OF_SETTING)]
    return [_line("seeds", SEEDS_ASKED, "no end"), *tests]


def _of_blocks(rows: pd.DataFrame) -> list[str]:
    seeds, counts = (1, *SEEDS_ASKED), list(dict.fromkeys(rows["n_blocks"]))
    lines = [_row(f"{count} blocks", _where(rows, "n_blocks", count), seeds) for count in counts]
    return [_line("seeds", seeds, "no end"), *lines]


def _row(name: str, rows: pd.DataFrame, seeds: Sequence[int]) -> str:
    shown = dict(zip(rows["n_seeds"], rows["shown_80"], strict=True))
    values = [_number(shown[count]) for count in seeds]
    return _line(name, values, _number(rows["floor_80"].iloc[0]))


def _line(name: str, values: Sequence[Any], last: str) -> str:
    return f"  {name:<{_NAME}}" + "".join(f"{value:>{_NUMBER}}" for value in (*values, last))


def _number(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
