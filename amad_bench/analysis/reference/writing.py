"""Writing of a reference: the tables of a complete run as CSV, with a stamp and a page about them."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from amad_bench.analysis.collected import Collected
from amad_bench.analysis.machines import HARDWARE, SOFTWARE, known, machine_of
from amad_bench.analysis.reference.means import means_table
from amad_bench.analysis.reference.stamp import SCHEMA, Stamp
from amad_bench.plan.catalogue import ANALYSIS_VERSION
from amad_bench.runtime.errors import STATUSES, UserError
from amad_bench.runtime.files import atomic_directory, refuse_existing, write_text_atomic
from amad_bench.runtime.results import COMPARED, ResultsFolder, TableName

MEANS = "means"
TABLES = (TableName.RUNS, TableName.FAILURES, *COMPARED)  # others have a row per example or step


def write_reference(folder: Path, config: Path, collected: Collected, results: ResultsFolder) -> Stamp:
    """Write a new folder with the compared tables of `results`, of all of whose runs `collected` is.

    UserError for a folder that exists, runs that have not ended, runs of several commits or of a working tree
    that was changed, and a table that is missing.
    """
    refuse_existing(folder)
    refuse_incomplete(collected.runs)
    commit = _commit(collected.runs)
    for name in TABLES:
        if not results.table(name, "csv").is_file():
            raise UserError(f"{results.table(name, 'csv')}: no such table; run `amad-bench compare` first")
    with atomic_directory(folder) as temporary:
        for name in TABLES:
            (temporary / f"{name}.csv").write_bytes(results.table(name, "csv").read_bytes())
        means = means_table(collected).to_csv(index=False, lineterminator="\n")
        write_text_atomic(temporary / f"{MEANS}.csv", means)
        stamp = _stamp(folder.name, config, collected, commit, temporary)
        stamp.write(temporary)
        write_text_atomic(temporary / "README.md", _page(stamp, collected.runs))
    return stamp


def refuse_incomplete(runs: pd.DataFrame) -> None:
    """UserError where some of the runs have not ended."""
    if left := sum(status not in STATUSES for status in runs["status"]):
        raise UserError(f"{left} of {len(runs)} runs have not ended; a reference is of a complete run")


def versions_of(runs: pd.DataFrame) -> dict[str, int]:
    """The versions of all that the runs use, and of the analysis."""
    found = {name: number for own in runs["versions"] for name, number in json.loads(own).items()}
    return dict(sorted({"analysis": ANALYSIS_VERSION, **found}.items()))


def _commit(runs: pd.DataFrame) -> str:
    """The one commit of all runs; UserError without."""
    rows = runs.to_dict("records")
    commits = sorted({known(row, "commit") or "an unknown one" for row in rows})
    changed = any(known(row, "dirty") for row in rows)
    if len(commits) != 1 or changed:
        found = "a changed working tree" if len(commits) == 1 else f"{len(commits)} commits"
        raise UserError(f"the runs are of {found}; a reference is of one commit: run all at a clean one")
    return commits[0]


def _stamp(name: str, config: Path, collected: Collected, commit: str, folder: Path) -> Stamp:
    columns = {path.stem: list(pd.read_csv(path, nrows=0).columns) for path in sorted(folder.glob("*.csv"))}
    return Stamp(
        schema=SCHEMA,
        name=name,
        config=config.as_posix(),
        plan=collected.plan.hash,
        commit=commit,
        date=datetime.now(UTC).date().isoformat(),
        machines=_machines(collected.runs),
        versions=versions_of(collected.runs),
        columns=columns,
    )


def _machines(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Facts of each machine that runs were made on, in their order."""
    found = list[dict[str, Any]]()
    for row in runs.to_dict("records"):
        facts = {fact: _plain(known(row, fact)) for fact in (*HARDWARE, *SOFTWARE)}
        if facts["device"] is not None and facts not in found:
            found.append(facts)
    return found


def _plain(value: Any) -> Any:
    """Value of a table as JSON has it."""
    return value.item() if hasattr(value, "item") else value


def _page(stamp: Stamp, runs: pd.DataFrame) -> str:
    failed = sum(status != "done" for status in runs["status"])
    machines = "; ".join(dict.fromkeys(map(machine_of, stamp.machines)))
    return (
        f"Tables of one complete run of `{stamp.config}` ({len(runs)} runs, {failed} without result) at\n"
        f"commit `{stamp.commit[:7]}`, written on {stamp.date}. Machine: {machines}.\n\n"
        "Each run's machine and versions stand in `runs.csv`, all together in `stamp.json`; what a mean "
        f"varies by in\n`means.csv`. `amad-bench verify --reference results/reference/{stamp.name}` compares "
        "others.\n"
    )
