"""The copy of each run that stays when results are merged: the first, unless only its machine failed.

The same id is the same run, on whichever machine: another copy is no replicate, and none is chosen because it
went better. What a method did, such as diverge, stands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from amad_bench.analysis.merging.sources import Copy, Source
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.plan.standing import FAILED_FOR_ANOTHER, RUNNING

OUT_OF_MEMORY, NO_METRIC = "out_of_memory", "metric_unavailable"  # what a machine lacks, no method's outcome


@dataclass(frozen=True)
class Choice:
    """The copy of a run that stays. others: further ones that have ended; why: not the first, or ""."""

    kept: Copy
    others: tuple[Copy, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Chosen:
    """Choices by id, of the runs that have ended somewhere. refused: a line for each that is not taken."""

    choices: dict[str, Choice] = field(default_factory=dict[str, Choice])
    refused: tuple[str, ...] = ()

    def taken(self, source: Source) -> list[Choice]:
        """The choices to be copied out of a source."""
        return [choice for choice in self.choices.values() if choice.kept.source is source.results]


def choose(plan: Plan, sources: Sequence[Source]) -> Chosen:
    """The copy of each planned run that stays; sources: one's own results first, then the others in order.

    A copy of a run that is running in one's own results is left alone, and so is one whose teacher or
    pre-training failed where that copy stays: it would have ended the same way.
    """
    choices, refused = dict[str, Choice](), list[str]()
    for run in plan.runs:
        copies = [source.copies[run.id] for source in sources if run.id in source.copies]
        ended = [copy for copy in copies if not copy.own.left]
        if not ended:
            continue
        if copies[0].own.state == RUNNING and copies[0].source is sources[0].results:
            refused.append(f"{run.id}: running here; {ended[0].source.path} has ended it and is left alone")
            continue
        failed = _failed_prerequisite(run, choices)
        allowed = [
            copy
            for copy in ended
            if not failed or copy.source is sources[0].results or copy.own.state in FAILED_FOR_ANOTHER
        ]
        if not allowed:
            refused.append(f"{run.id}: not taken from {ended[0].source.path}, since {failed} stays as failed")
            continue
        kept, why = _first(allowed, hopeful=not failed)
        others = tuple(copy for copy in ended if copy is not kept)
        choices[run.id] = Choice(kept, others, why)
    return Chosen(choices, tuple(refused))


def _failed_prerequisite(run: Run, choices: Mapping[str, Choice]) -> str:
    """The id of a run that this one needs, and whose copy that stays has failed; "" without one."""
    needed = (name for name in run.prerequisites if name in choices)
    return next((name for name in needed if not choices[name].kept.own.usable), "")


def _first(ended: Sequence[Copy], hopeful: bool) -> tuple[Copy, str]:
    """The copy that stays, and why it is not the first. hopeful: what the run needs can be used."""
    kept = first = ended[0]
    for copy in ended[1:]:
        if _gives_way(kept.own.state, copy.own.state, hopeful):
            kept = copy
    why = f"{first.own.state} in {first.source.path} is no outcome of the method"
    return kept, "" if kept is first else why


def _gives_way(state: str, other: str, hopeful: bool) -> bool:
    """Whether a copy that ended as `state` is no outcome of the method, and one that ended as `other` is."""
    if state == NO_METRIC:
        return other == "done"
    if state in FAILED_FOR_ANOTHER:
        return hopeful and other not in FAILED_FOR_ANOTHER
    return state == OUT_OF_MEMORY and other not in (OUT_OF_MEMORY, *FAILED_FOR_ANOTHER)
