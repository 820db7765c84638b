"""Looks at a sweep again and again: `amad-bench status --watch`, and the view of Snakemake beneath it."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from amad_bench.plan.plan import Plan
from amad_bench.plan.standing import Standing, standing
from amad_bench.runtime.results import ResultsFolder
from amad_bench.view.facts import Facts, facts
from amad_bench.view.screen import headline, screen, time_left
from amad_bench.view.terminal import Terminal
from amad_bench.view.words import duration

REPAINTED = 2.0  # seconds between two looks; a run's live.json is no newer
SUMMARY = 60.0  # seconds between two summaries in a log
_SHARE = 20  # reading all runs' files may take 1/20 of the time


@dataclass(frozen=True)
class Ending:
    """A run that has ended since the last look. seconds: None where not known."""

    id: str
    status: str
    reason: str
    seconds: float | None

    @property
    def line(self) -> str:
        took = "" if self.seconds is None else f" after {duration(self.seconds)}"
        return f"{self.id}: {self.status}{took}{f': {self.reason}' if self.reason else ''}"


class Watched:
    """A sweep under observation."""

    def __init__(self, plan: Plan, results: ResultsFolder, clock: Callable[[], float] = time.time) -> None:
        self._plan, self._results, self._clock = plan, results, clock
        self._standings: dict[str, Standing] = {}
        self._read, self._cost = 0.0, 0.0
        self._at_once = 1

    def look(self, fresh: bool = False, started: Collection[str] = ()) -> tuple[Facts, list[Ending]]:
        """The facts now, and the runs that have ended since the last look, none at the first.

        fresh: read all files, however long that takes; else not more often than is cheap. started: as for
        `facts`.
        """
        ended: list[Ending] = []
        now = self._clock()
        if fresh or now - self._read >= max(REPAINTED, _SHARE * self._cost):
            before, begun = self._standings, time.perf_counter()
            self._standings = standing(self._plan, self._results)
            self._cost, self._read = time.perf_counter() - begun, now
            if before:
                ended = [
                    Ending(run_id, own.status.status, own.status.reason, own.status.wall_seconds)
                    for run_id, own in self._standings.items()
                    if own.status is not None and own.status != before[run_id].status
                ]
        found = facts(self._plan, self._results, self._standings, now, self._at_once, started)
        self._at_once = found.at_once
        return found, ended


def summary(found: Facts) -> str:
    """One line of a log."""
    left = time_left(found)
    return f"{time.strftime('%H:%M')}  {headline(found)}{f'; {left}' if left else ''}"


def watch(watched: Watched, terminal: Terminal, sleep: Callable[[float], None] = time.sleep) -> None:
    """Shows a sweep until nothing of it is left or running; in a log a line for each run that ends."""
    passed = SUMMARY
    while True:
        found, ended = watched.look()
        terminal.say(*(ending.line for ending in ended if not terminal.repaints or ending.status != "done"))
        over = not found.total.left and not found.total.running
        if terminal.repaints:
            terminal.paint(screen(found, (), *terminal.size))
        elif passed >= SUMMARY or over:
            terminal.say(summary(found))
            passed = 0.0
        if over:
            return
        sleep(REPAINTED)
        passed += REPAINTED
