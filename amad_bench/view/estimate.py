"""Time that a sweep still takes, by the times of runs that are done and the rates of those that run."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import mean

from amad_bench.plan.run import Run
from amad_bench.runtime.run_folder.live import Live


class Speeds:
    """Seconds that runs took, each with its run."""

    def __init__(self, measured: Iterable[tuple[Run, float]]) -> None:
        seconds: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for run, took in measured:
            for likeness in _likenesses(run):
                seconds[likeness].append(took)
        self._means = {likeness: mean(values) for likeness, values in seconds.items()}

    def expected(self, run: Run) -> float | None:
        """The mean of the runs most like this one; None when none was measured."""
        return next((self._means[likeness] for likeness in _likenesses(run) if likeness in self._means), None)

    def know_kind(self, run: Run) -> bool:
        """Whether a run of the same kind was measured."""
        return (run.kind,) in self._means


def seconds_left(
    left: Sequence[Run],
    running: Sequence[tuple[Run, Live | None]],
    done: Sequence[tuple[Run, float]],
    now: float,
    at_once: int,
) -> float | None:
    """Until all runs are done, `at_once` at a time; None when nothing is known of some of them.

    done: runs with the seconds that they took. now: Unix time. That runs wait for others is not counted.
    """
    if not left and not running:
        return 0.0
    finished = Speeds(done)
    speeds = Speeds(
        [
            *done,
            *(
                (run, live.updated - live.since + rest)
                for run, live in running
                if live and (rest := _by_rate(live)) is not None and not finished.know_kind(run)
            ),
        ]
    )
    times = [speeds.expected(run) for run in left]
    for run, live in running:
        rest = _by_rate(live)
        whole = speeds.expected(run)
        if live is not None and whole is not None:
            passed = max(0.0, now - live.since)  # another host's clock may be ahead
            rest = max(rest or 0.0, whole - passed, 0.0)
        times.append(whole if rest is None else rest)
    known = [seconds for seconds in times if seconds is not None]
    if len(known) < len(times):
        return None
    return max(sum(known) / min(at_once, len(known)), *known)


def _by_rate(live: Live | None) -> float | None:
    """Seconds of training that are left by the measured rate; what follows the training is not counted."""
    if live is None or not live.steps_per_second:
        return None
    return (live.steps - live.step) / live.steps_per_second


def _likenesses(run: Run) -> list[tuple[str, ...]]:
    """Keys that a run shares with others: from those that differ in hardly more than seeds, to any run."""
    config = run.config
    loss = config.loss.label if run.kind == "student" else ""
    full = (run.kind, config.family, config.task, config.dataset.name, loss, str(config.model.heads))
    return [full[:length] for length in range(len(full), -1, -1)]
