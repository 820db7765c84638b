"""Committed tables say what they were made with, and which of it is older than the code."""

import csv
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from amad_bench.analysis.collect import collect
from amad_bench.analysis.tables.comparisons import comparisons_table
from amad_bench.analysis.tables.headroom import headroom_table
from amad_bench.analysis.tables.results import results_table
from amad_bench.plan import catalogue
from amad_bench.runtime.provenance import provenance
from tests.analysis.conftest import make_plan, write_run
from tests.conftest import REPOSITORY

FOLDERS = sorted(path for path in (REPOSITORY / "results/reference").iterdir() if path.is_dir())
HEAD = "**Older than the code: "


@pytest.fixture(scope="module")
def columns_now(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Columns by table, as the code of today writes them for a run with its whole provenance."""
    results, plan = tmp_path_factory.mktemp("now"), make_plan(tasks=(("vlt5", "vqa"),), seeds=1)
    for run in plan.runs:
        path = write_run(results, run) / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"provenance": provenance("cpu")}))
    tables = collect(plan, results)
    made = {
        "runs": tables.runs,
        "failures": tables.failures,
        "results": results_table(tables),
        "headroom": headroom_table(tables),
        "comparisons": comparisons_table(tables),
    }
    return {name: list(table.columns) for name, table in made.items()}


def versions_now() -> dict[str, int]:
    records = {
        "dataset": catalogue.DATASETS,
        "family": catalogue.FAMILIES,
        "loss": catalogue.LOSSES,
        "metric": catalogue.METRICS,
        "schedule": catalogue.SCHEDULES,
    }
    found = {
        f"{kind}:{name}": record.version for kind, known in records.items() for name, record in known.items()
    }
    return found | {
        "analysis": catalogue.ANALYSIS_VERSION,
        "prepared": catalogue.PREPARED_VERSION,
        "pretraining": catalogue.PRETRAINING_VERSION,
        "training": catalogue.TRAINING_VERSION,
    }


def read_stamp(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "stamp.json").read_text(encoding="utf-8"))


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def older(stamp: dict[str, Any], columns: dict[str, list[str]]) -> list[str]:
    """A line for each version that was raised since, and for each table whose columns are others now."""
    now = versions_now()
    lines = [
        f"- older: version {version} of {name}, now {now.get(name, 'gone')}"
        for name, version in stamp["versions"].items()
        if now.get(name) != version
    ]
    for table in stamp["columns"].keys() & columns.keys():
        then, today = stamp["columns"][table], columns[table]
        if lacks := [column for column in today if column not in then]:
            lines.append(f"- older: {table}.csv lacks {', '.join(lacks)}")
        if had := [column for column in then if column not in today]:
            lines.append(f"- older: {table}.csv has {', '.join(had)}, written no more")
    return sorted(lines)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_the_stamp_says_what_the_tables_are(folder: Path) -> None:
    stamp, runs = read_stamp(folder), read_table(folder / "runs.csv")
    named = {"config", "commit", "date", "versions", "columns"}
    assert stamp.keys() in (named, named | {"schema", "name", "plan", "machines"})  # since there is a schema
    assert (REPOSITORY / stamp["config"]).is_file()
    assert date.fromisoformat(stamp["date"])
    assert {run["commit"] for run in runs} == {stamp["commit"]}
    versions = [json.loads(run["versions"]).items() for run in runs]
    assert {pair for own in versions for pair in own} == {
        (name, version) for name, version in stamp["versions"].items() if name != "analysis"
    }
    assert stamp["columns"] == {path.stem: list(read_table(path)[0]) for path in folder.glob("*.csv")}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_its_readme_says_exactly_what_is_older_than_the_code(
    folder: Path, columns_now: dict[str, list[str]]
) -> None:
    lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    expected = older(read_stamp(folder), columns_now)
    said = [line for line in lines if line.startswith("- older: ")]
    assert said == expected, "make the tables again, or write these lines:\n" + "\n".join(expected)
    assert lines[0].startswith(HEAD) == bool(expected)


def test_a_raised_version_and_another_column_are_noticed() -> None:
    versions = versions_now()
    raised = versions["prepared"] - 1
    stamp = {
        "versions": versions | {"prepared": raised, "loss:none": 1},
        "columns": {"runs": ["run_id", "fix"], "results": ["loss"], "training": ["by hand"]},
    }
    assert older(stamp, {"runs": ["run_id", "heads_keep"], "results": ["loss"], "failures": ["run_id"]}) == [
        "- older: runs.csv has fix, written no more",
        "- older: runs.csv lacks heads_keep",
        "- older: version 1 of loss:none, now gone",
        f"- older: version {raised} of prepared, now {raised + 1}",
    ]
