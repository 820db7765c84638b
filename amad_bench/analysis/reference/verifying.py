"""Verification of results against a reference: equal on a machine of the same kind, else within chance."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from amad_bench.analysis.collected import Collected
from amad_bench.analysis.reference.differences import (
    DIFFERENT,
    NO_SCORE,
    NOT_TESTABLE,
    ONE_SIDE,
    mean_differences,
    real,
)
from amad_bench.analysis.reference.equal import machine_differences, read_text, table_differences
from amad_bench.analysis.reference.means import KEYS, as_written, means_table, read_means
from amad_bench.analysis.reference.stamp import AGAIN, Stamp
from amad_bench.analysis.reference.writing import MEANS, TABLES, refuse_incomplete, versions_of
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.results import ResultsFolder, TableName

_MOST_LINES = 40  # of cells that differ; of the others only the number is given


@dataclass(frozen=True)
class Verified:
    """The outcome. lines: what to print; failed: whether something really differs."""

    lines: tuple[str, ...]
    failed: bool


def verify(folder: Path, stamp: Stamp, collected: Collected, results: ResultsFolder) -> Verified:
    """Whether these results are those of the reference in a folder.

    UserError for runs that have not ended here, and for a reference of another schema, or broken.
    """
    refuse_incomplete(collected.runs)
    means = read_means(folder / f"{MEANS}.csv")
    shared = [name for name in TABLES if name in stamp.columns]
    there = {name.value: _reference_table(folder, stamp, name) for name in shared}
    here = {name.value: read_text(results.table(name, "csv")) for name in shared}
    others = _other_science(stamp, collected) + machine_differences(there["runs"], here["runs"])
    title = f"{folder}: {stamp.config} at commit {stamp.commit[:7]}, {stamp.date}, {len(there['runs'])} runs"
    own = means_table(collected)
    if not others:
        return _same_kind(title, there, here)
    lines = [title, f"another machine than the reference's: {'; '.join(others)}"]
    table = mean_differences(means, as_written(own))
    runs = [set(tables["runs"]["run_id"]) for tables in (there, here)]
    if stamp.plan == collected.plan.hash and (ONE_SIDE in set(table["verdict"]) or runs[0] != runs[1]):
        raise UserError(f"{folder}: of the same plan, but with other runs or means; restore it, or {AGAIN}")
    if set(table["verdict"]) == {ONE_SIDE}:
        raise UserError(f"{folder}: it has no mean of this config's runs; give the config of the reference")
    return Verified((*lines, *_summary(table)), not real(table).empty)


def _reference_table(folder: Path, stamp: Stamp, name: TableName) -> pd.DataFrame:
    """A table of the reference; UserError unless it has the columns that it was written with."""
    path = folder / f"{name}.csv"
    found = read_text(path)
    if list(found.columns) != stamp.columns[name.value]:
        raise UserError(f"{path}: its columns are not those in stamp.json; restore it, or {AGAIN}")
    return found


def _other_science(stamp: Stamp, collected: Collected) -> list[str]:
    """Reasons for other numbers even on the same machine."""
    if stamp.plan == collected.plan.hash:
        return []
    now, then = versions_of(collected.runs), stamp.versions
    names = sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))
    changed = [f"{name} {then.get(name, 'absent')} there, {now.get(name, 'absent')} here" for name in names]
    return ["another plan", *changed]


def _same_kind(title: str, there: dict[str, pd.DataFrame], here: dict[str, pd.DataFrame]) -> Verified:
    found = list(table_differences(there, here))
    rule = "the same kind of machine, threads and versions: all tables have to be equal"
    if not found:
        return Verified((title, rule, f"{len(there)} tables are equal"), failed=False)
    more = [f"and {len(found) - _MOST_LINES} more"] if len(found) > _MOST_LINES else []
    return Verified((title, rule, f"{len(found)} cells differ:", *found[:_MOST_LINES], *more), failed=True)


def _summary(table: pd.DataFrame) -> list[str]:
    counts, widths = Counter(table["verdict"]), (table["ci_high"] - table["ci_low"]).dropna().tolist()
    lines = [f"{len(table)} means: {', '.join(f'{count} {verdict}' for verdict, count in counts.items())}"]
    if widths:
        typical = median(widths) / 2
        lines.append(
            f"{len(widths)} were tested, with Holm over all; the 95 % interval of a single difference is "
            f"+-{typical:.2g} points wide (median)"
        )
    listed: Any = table[table["verdict"].isin([DIFFERENT, NO_SCORE, NOT_TESTABLE])]
    order = [DIFFERENT, NO_SCORE, NOT_TESTABLE]
    rows = sorted(listed.to_dict("records"), key=lambda row: order.index(row["verdict"]))
    return lines + [_line(row) for row in rows]


def _line(row: dict[Any, Any]) -> str:
    heads = f"{row['teacher_heads']} -> {row['student_heads']}"
    further = [row[key] for key in ("teacher_pretraining", "pretraining", "budget") if key in KEYS]
    where = " ".join([row["family"], row["task"], row["dataset"], heads, *further, row["loss"]])
    means = [_mean(row["mean_there"]), _mean(row["mean_here"])]
    line = f"{row['verdict']}: {where}: {row['metric']} on {row['split']} {means[0]} there, {means[1]} here"
    if row["verdict"] != DIFFERENT:
        runs = f" ({row['n_seeds_there']:.0f} and {row['n_seeds_here']:.0f} runs)"
        return line + runs
    interval = f"[{row['ci_low']:+.2f}, {row['ci_high']:+.2f}]"
    return f"{line}, difference {row['difference']:+.2f} {interval}, p = {row['p_holm']:.2g} after Holm"


def _mean(value: float) -> str:
    return "no score" if pd.isna(value) else f"{value:.2f}"
