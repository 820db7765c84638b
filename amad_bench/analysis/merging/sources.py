"""Results folders of several machines: refused where they cannot be merged, read run by run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from amad_bench.analysis.scores import ScoreBook
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.plan.run_config import canonical_json
from amad_bench.plan.standing import Standing, standing_alone
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.results import ResultsFolder
from amad_bench.runtime.run_folder.folder import RunFolder
from amad_bench.runtime.run_folder.predictions import read_predictions
from amad_bench.runtime.run_folder.run_record import RunRecord
from amad_bench.runtime.run_folder.scores import read_scores
from amad_bench.runtime.run_folder.steps import read_validations


@dataclass(frozen=True)
class Copy:
    """A run as one results folder holds it. source: that folder; own: the run's standing there."""

    source: ResultsFolder
    folder: RunFolder
    own: Standing


@dataclass(frozen=True)
class Source:
    """A results folder.

    copies: of the planned runs that it holds something of, by id. broken: a line for each that has ended
    there and cannot be read. foreign: how many of its run folders belong to no planned run.
    """

    results: ResultsFolder
    copies: dict[str, Copy]
    broken: tuple[str, ...] = ()
    foreign: int = 0


def results_folders(paths: Sequence[Path], own: ResultsFolder) -> list[ResultsFolder]:
    """The results folders at `paths`; UserError, a line each, for what is none, is `own` or stands twice."""
    problems, seen = list[str](), {own.path.resolve(): f"these results ({own.path})"}
    for path in paths:
        found = ResultsFolder(path)
        if not found.runs.is_dir():
            what = "a folder without runs/" if path.is_dir() else "no such folder"
            problems.append(f"{path}: {what}; name the results folder of another machine, with its runs/")
        elif (known := seen.setdefault(path.resolve(), str(path))) != str(path) or paths.count(path) > 1:
            problems.append(f"{path}: the same folder as {known}; name each once")
    if problems:
        raise UserError(*dict.fromkeys(problems))
    return [ResultsFolder(path) for path in paths]


def read_source(plan: Plan, results: ResultsFolder) -> Source:
    """Another machine's copies of the planned runs; nothing is taken that cannot be read.

    UserError where its runs were made by other versions of what they use than the plan's.
    """
    copies, broken = dict[str, Copy](), list[str]()
    for run in plan.runs:
        folder = results.run(run.id)
        if not folder.path.is_dir():
            continue
        own = standing_alone(run, folder)
        try:
            _refuse_unreadable(run, folder, own)
        except UserError as error:
            broken.append(error.messages[0])
            continue
        copies[run.id] = Copy(results, folder, own)
    foreign = [path for path in sorted(results.runs.iterdir()) if path.name not in plan.by_id]
    foreign = [path for path in foreign if path.is_dir()]
    _refuse_other_versions(plan, results, foreign)
    return Source(results, copies, tuple(broken), len(foreign))


def read_own(plan: Plan, results: ResultsFolder) -> Source:
    """One's own results; their damage is for `collect` to report, as without a merge."""
    folders = {run.id: results.run(run.id) for run in plan.runs}
    found = {
        run.id: Copy(results, folders[run.id], standing_alone(run, folders[run.id])) for run in plan.runs
    }
    return Source(results, found)


def _refuse_unreadable(run: Run, folder: RunFolder, own: Standing) -> None:
    """UserError for a folder that says it holds an ended run, and does not."""
    if own.left:
        if folder.status.exists() and own.reason:
            raise UserError(f"{folder.path}: not taken: {own.reason}")
        return
    if run.kind == "pretrain":
        return
    read_validations(folder.steps, required=own.usable)
    if own.usable:
        _refuse_no_numbers(folder, read_scores(folder.scores, run.id, may_be_empty=own.state != "done"))
        read_predictions(folder.predictions)


def _refuse_no_numbers(folder: RunFolder, scores: pd.DataFrame) -> None:
    """UserError for a score that is no number, and one without a cluster."""
    book = ScoreBook(scores)
    for split, metric in scores[["split", "metric"]].drop_duplicates().itertuples(index=False):
        try:
            book.matrix([folder.id], metric, split)
        except UserError as error:
            raise UserError(f"{folder.path}: not taken: {error.messages[0]}") from None


def _refuse_other_versions(plan: Plan, results: ResultsFolder, foreign: Sequence[Path]) -> None:
    """UserError where a run that is planned, and absent there, was made there by other versions."""
    absent = {_science(run.config.canonical()): run for run in plan.runs if not results.run(run.id).finished}
    others = list[tuple[str, str]]()
    for path in foreign:
        try:
            config = RunRecord.read(RunFolder(path).record).config
            run, theirs = absent.get(_science(config)), dict(config.get("versions", {}))
        except (UserError, TypeError, ValueError):
            continue  # no run of this program, or a damaged one: foreign
        if run is not None and (differing := _differing(run.config.versions, theirs)):
            others.append((path.name, differing))
    if others:
        raise UserError(
            f"{results.path}: {len(others)} of its runs were made by other versions ({others[0][1]}), such "
            f"as {others[0][0]}; bring both machines to one version of amad-bench and run them again there"
        )


def _science(config: dict[str, Any]) -> str:
    """A run's config without versions, and without the hashes that follow from them."""
    kept = {key: value for key, value in config.items() if key != "versions"}
    for part, keys in (("start", ("run_id",)), ("teacher", ("run_id",)), ("dataset", ("hash", "version"))):
        if isinstance(kept.get(part), dict):
            kept[part] = {key: value for key, value in kept[part].items() if key not in keys}
    return canonical_json(kept)


def _differing(here: dict[str, int], there: dict[str, Any]) -> str:
    """ "loss:amad 1, here 2" for the versions that differ."""
    return ", ".join(
        f"{name} {there.get(name, 'absent')}, here {here.get(name, 'absent')}"
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name)
    )
