"""Facts of a sweep: how its runs stand, what those that are being trained do, how long it takes."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.plan.standing import INTERRUPTED, Standing
from amad_bench.runtime.results import ResultsFolder
from amad_bench.runtime.run_folder.live import Live
from amad_bench.view.estimate import seconds_left


@dataclass(frozen=True)
class Running:
    """A run that is being trained. live: what its process says, None where that is not known."""

    id: str
    live: Live | None = None


@dataclass
class Counts:
    """Numbers of runs. failed: those that ended otherwise than `done`."""

    planned: int = 0
    done: int = 0
    failed: int = 0
    running: int = 0

    @property
    def left(self) -> int:
        """Those that have not begun, or were interrupted."""
        return self.planned - self.done - self.failed - self.running


@dataclass(frozen=True)
class Facts:
    """A sweep at one time.

    counts: by task ("vlt5 vqa scenes") and by what is trained on it ("teacher", or a loss's label), in the
    plan's order. failures: status -> number. interrupted: of those left, how many were begun. seconds_left:
    None where nothing is known of the speed; 0 when nothing is left. at_once: processes that train.
    """

    name: str
    counts: Mapping[tuple[str, str], Counts]
    running: tuple[Running, ...] = ()
    failures: Mapping[str, int] = field(default_factory=dict)
    interrupted: int = 0
    seconds_left: float | None = None
    at_once: int = 1

    @property
    def total(self) -> Counts:
        return added(self.counts.values())


def added(counts: Iterable[Counts]) -> Counts:
    """The sum of counts."""
    total = Counts()
    for one in counts:
        total.planned += one.planned
        total.done += one.done
        total.failed += one.failed
        total.running += one.running
    return total


def facts(
    plan: Plan,
    results: ResultsFolder,
    standings: Mapping[str, Standing],
    now: float,
    at_once: int = 1,
    started: Collection[str] = (),
) -> Facts:
    """The facts now. standings: of all runs, which may be some seconds old. now: Unix time.

    at_once: the most processes that were seen to train at once, for the time that is left. started: runs
    whose process is known to be there, though it may not have come so far as to lock its folder.
    """
    counts: dict[tuple[str, str], Counts] = {}
    running: list[tuple[Run, Live | None]] = []
    left: list[Run] = []
    done: list[tuple[Run, float]] = []
    failures: Counter[str] = Counter()
    interrupted = 0
    begun = {path.name for path in results.runs.iterdir()} if results.runs.is_dir() else set[str]()
    for run in plan.runs:
        here, own, folder = counts.setdefault(place(run), Counts()), standings[run.id], results.run(run.id)
        here.planned += 1
        if own.status is not None:
            well = own.status.status == "done"
            here.done += well
            here.failed += not well
            failures.update([] if well else [own.status.status])
            if own.status.usable and own.status.wall_seconds is not None:
                done.append((run, own.status.wall_seconds))
        elif (at_work := run.id in begun and folder.worked_on) or run.id in started:
            here.running += 1
            running.append((run, Live.read(folder.live) if at_work else None))
        else:
            left.append(run)
            interrupted += own.state == INTERRUPTED
    at_once = max(1, at_once, len(running))
    return Facts(
        plan.name,
        counts,
        tuple(Running(run.id, live) for run, live in running),
        failures,
        interrupted,
        seconds_left(left, running, done, now, at_once),
        at_once,
    )


def place(run: Run) -> tuple[str, str]:
    """The task of a run, and what is trained on it: the row and the column where it is counted."""
    config = run.config
    task = f"{config.family} {config.task} {config.dataset.name}"
    return task, config.loss.label if run.kind == "student" else run.kind
