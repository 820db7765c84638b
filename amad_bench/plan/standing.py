"""Standing of each planned run, by what its folder holds: no times, and nothing that Snakemake notes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.plan.run_config import short_hash
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.results import ResultsFolder
from amad_bench.runtime.run_folder.folder import RunFolder
from amad_bench.runtime.run_folder.run_record import RunRecord
from amad_bench.runtime.run_folder.status import Status

RUNNING = "running"
INTERRUPTED = "interrupted"
WAITING = "waiting"
FAILED_FOR_ANOTHER = ("teacher_failed", "pretraining_failed")


@dataclass(frozen=True)
class Standing:
    """Standing of a run.

    state: how it ended, one of runtime.errors.STATUSES, or, of a run that is left, RUNNING, INTERRUPTED (it
    was started, and its process is gone) or WAITING. reason: one sentence on why it has no result, or why it
    is left although its folder holds something; "" otherwise. status: of a run that has ended.
    """

    state: str
    reason: str = ""
    status: Status | None = None

    @property
    def left(self) -> bool:
        """Whether the run is still to be trained."""
        return self.status is None

    @property
    def usable(self) -> bool:
        """Whether the run has ended with a model that was trained to the end."""
        return self.status is not None and self.status.usable


def standing(plan: Plan, results: ResultsFolder) -> dict[str, Standing]:
    """The standing of every run by its id, in the plan's order.

    A run has ended when its status.json and the run.json of the planned config are there, and what it was to
    make. It is left again when it failed for another run that can be used by now or is itself left, and when
    a run that is left needs its weights and they are gone.
    """
    found = {run.id: standing_alone(run, results.run(run.id)) for run in plan.runs}
    changed = True
    while changed:  # as often as runs stand in a chain: pre-training, teacher, assistant, student
        changed = False
        for run in plan.runs:
            for identifier, reason in _left_again(run, found, results):
                found[identifier] = _left(results.run(identifier), WAITING, reason)
                changed = True
    return found


def outcomes_hash(standings: Mapping[str, Standing]) -> str:
    """Changes exactly when the set of runs that have ended does, or how one of them ended."""
    ended = {identifier: vars(own.status) for identifier, own in standings.items() if own.status is not None}
    return short_hash(ended, 16)


def standing_alone(run: Run, folder: RunFolder) -> Standing:
    """The standing of a run by a folder of it, whatever stands of other runs."""
    running = folder.worked_on  # asked first: what ends meanwhile is not taken for broken off
    own = _as_written(run, folder)
    return Standing(RUNNING, "still running") if own.left and running else own


def _as_written(run: Run, folder: RunFolder) -> Standing:
    if not folder.record.exists():
        return Standing(WAITING)
    try:
        written = RunRecord.read(folder.record).config
        if (planned := run.config.canonical()) != written:
            difference = first_difference(planned, written)
            return Standing(WAITING, f"{folder.record} belongs to another config ({difference})")
        if not folder.status.exists():
            return Standing(INTERRUPTED, "started, never finished")
        status = Status.read(folder.status)
    except UserError as error:
        return Standing(WAITING, str(error))
    if status.usable and run.kind != "pretrain":
        for path in (folder.steps, folder.predictions, folder.scores):
            if not path.exists():
                return Standing(WAITING, f"{path} is missing")
    return Standing(status.status, status.reason, status)


def _left(folder: RunFolder, state: str, reason: str = "") -> Standing:
    return Standing(RUNNING, "still running") if folder.worked_on else Standing(state, reason)


def _left_again(run: Run, found: Mapping[str, Standing], results: ResultsFolder) -> list[tuple[str, str]]:
    """Runs that have ended and are left all the same, for what stands of this one, each with the reason."""
    own, needed = found[run.id], [name for name in run.prerequisites if name in found]
    hopeful = bool(needed) and all(found[name].left or found[name].usable for name in needed)
    if own.state in FAILED_FOR_ANOTHER and hopeful:
        return [(run.id, f"{own.state} before, but what it needs can be used by now or is trained again")]
    if not own.left:
        return []
    return [
        (name, f"its weights are gone, and {run.id} needs them")
        for name in needed
        if found[name].usable and not results.run(name).checkpoint.exists()
    ]


def first_difference(planned: Any, found: Any, path: str = "") -> str:
    """ "key.path is 2, the plan says 1" for the first difference of two JSON values, or ""."""
    if isinstance(planned, dict) and isinstance(found, dict):
        ours, theirs = cast(dict[str, Any], planned), cast(dict[str, Any], found)
        for key in sorted(ours.keys() | theirs.keys()):
            inner = f"{path}.{key}" if path else key
            if key not in theirs:
                return f"{inner} is missing, the plan says {ours[key]!r}"
            if key not in ours:
                return f"{inner} is {theirs[key]!r}, unknown to the plan"
            if difference := first_difference(ours[key], theirs[key], inner):
                return difference
        return ""
    return "" if planned == found else f"{path or 'config'} is {found!r}, the plan says {planned!r}"
