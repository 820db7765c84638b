"""Markers follow what has ended, and tables that were made of something else are forgotten."""

import json
from pathlib import Path

import pytest

from amad_bench.plan.agreement import align_markers, forget_outdated_tables, made_of
from amad_bench.plan.extra_metrics import extra_ended, signature
from amad_bench.plan.plan import Plan
from amad_bench.plan.standing import standing
from amad_bench.runtime.locks import exclusive
from amad_bench.runtime.results import ResultsFolder
from tests.run_folders import begin_run, content, end_run


@pytest.fixture
def results(tmp_path: Path) -> ResultsFolder:
    return ResultsFolder(tmp_path / "results")


@pytest.fixture
def plan(raw, planned) -> Plan:
    raw |= {"tasks": raw["tasks"][1:], "replicates": 1, "extra_metrics": ["METEOR"]}
    return planned(raw)


def align(plan: Plan, results: ResultsFolder) -> None:
    align_markers(plan, standing(plan, results), results)


def marked(results: ResultsFolder) -> set[str]:
    return {path.parent.name for path in results.runs.glob("*/ended")}


def score(plan: Plan, results: ResultsFolder, reasons: dict[str, str] | None = None) -> None:
    """As `amad-bench score` does, METEOR for all that has ended well."""
    standings = standing(plan, results)
    sources = {name: "sha" for name, own in standings.items() if own.usable}
    facts = {"sources": {"METEOR": sources}, "unavailable": {"METEOR": reasons or {}}}
    facts |= {"signatures": {"METEOR": signature("METEOR")}}
    results.extra_facts.write_text(json.dumps(facts))
    results.extra_scores.touch()
    results.extra_ended.write_text(extra_ended(plan, standings))


def test_a_marker_is_there_exactly_when_a_run_has_ended(plan, results) -> None:
    done, failed, begun, *_ = plan.runs
    end_run(done, results)
    end_run(failed, results, "diverged")
    begin_run(begun, results).ended.touch()
    align(plan, results)
    assert marked(results) == {done.id, failed.id}
    before = content(results.path)
    align(plan, results)
    assert content(results.path) == before
    results.run(done.id).scores.unlink()
    align(plan, results)
    assert marked(results) == {failed.id}


def test_the_marker_of_a_running_run_is_left_to_its_process(plan, results) -> None:
    """It may have ended, and made its marker, since it was looked at."""
    folder = begin_run(plan.runs[0], results)
    folder.ended.touch()
    with exclusive(folder.path):
        align(plan, results)
    assert folder.ended.exists()


def test_nothing_is_made_where_nothing_has_run(plan, results) -> None:
    align(plan, results)
    assert not results.path.exists()


@pytest.fixture
def ended(plan: Plan, results: ResultsFolder) -> Plan:
    for run in plan.runs:
        end_run(run, results)
    score(plan, results)
    return plan


def test_the_extra_metrics_are_marked_as_long_as_all_runs_have_them(ended, results) -> None:
    align(ended, results)
    assert results.extra_ended.exists()
    score(ended, results, {ended.runs[0].id: "no Java"})
    align(ended, results)
    assert not results.extra_ended.exists()


@pytest.mark.parametrize("what", ["facts", "table", "another way", "damaged", "of another shape"])
def test_extra_scores_that_are_gone_or_of_another_way_are_made_again(ended, results, what) -> None:
    if what == "facts":
        results.extra_facts.unlink()
    elif what == "table":
        results.extra_scores.unlink()
    elif what == "another way":
        results.extra_facts.write_text(results.extra_facts.read_text().replace("version:", "version:9"))
    elif what == "damaged":
        results.extra_facts.write_text("{")
    else:
        results.extra_facts.write_text('{"signatures": []}')
    align(ended, results)
    assert not results.extra_ended.exists()


def test_a_run_that_was_trained_anew_is_scored_anew(ended, results) -> None:
    end_run(ended.runs[0], results, wall_seconds=61.0)
    align(ended, results)
    assert not results.extra_ended.exists()


def collected(plan: Plan, results: ResultsFolder, **stamp: str) -> None:
    made = {"hash": plan.hash, "made_of": made_of(standing(plan, results), results)}
    results.plan.write_text(json.dumps(made | stamp))


def forget(plan: Plan, results: ResultsFolder) -> None:
    forget_outdated_tables(plan, standing(plan, results), results)


def test_tables_of_what_is_there_stay(ended, results) -> None:
    forget(ended, results)  # none are there yet
    collected(ended, results)
    forget(ended, results)
    assert results.plan.exists()


@pytest.mark.parametrize("what", ["a run", "another end", "extra scores", "another plan", "damaged", "list"])
def test_tables_of_something_else_are_forgotten(ended, results, what) -> None:
    collected(ended, results, **({"hash": "0"} if what == "another plan" else {}))
    if what == "a run":
        results.run(ended.runs[0].id).status.unlink()
    elif what == "another end":
        end_run(ended.runs[0], results, "diverged")
    elif what == "extra scores":
        score(ended, results, {ended.runs[0].id: "no Java"})
    elif what in ("damaged", "list"):
        results.plan.write_text({"damaged": "{", "list": "[]"}[what])
    forget(ended, results)
    assert not results.plan.exists()
