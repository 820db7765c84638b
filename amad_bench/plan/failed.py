"""Why runs have no result, as text for people."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from amad_bench.plan.extra_metrics import NOT_SCORED, by_reason, unscored
from amad_bench.plan.plan import Plan
from amad_bench.plan.standing import INTERRUPTED, WAITING, Standing
from amad_bench.runtime.results import ResultsFolder

_LINES = 5  # of a log
_BYTES = 4000  # of its end, in which they are looked for


def failed_runs(standings: Mapping[str, Standing]) -> list[str]:
    """The ids of the runs that have ended without a result, or were started and have not ended."""
    return [
        name
        for name, own in standings.items()
        if own.state == INTERRUPTED or not (own.left or own.state == "done")
    ]


def failures_report(plan: Plan, standings: Mapping[str, Standing], results: ResultsFolder) -> tuple[str, int]:
    """These runs, extra metrics without scores, and how many of both have failed.

    Below each run are the last lines of its traceback and of its log, which may hold what else went wrong.
    """
    failed, lines = failed_runs(standings), list[str]()
    counts = Counter(standings[name].state for name in failed)
    for name in failed:
        own, folder = standings[name], results.run(name)
        lines.append(f"{name}: {own.state}: {own.reason}")
        tail = [*(own.status.log_tail if own.status else []), *_last_lines(folder.log)]
        lines += [f"    {line}" for line in dict.fromkeys(tail)]
    unavailable = 0
    for metric, reasons in unscored(plan, results, standings).items():
        for line in by_reason(reasons):
            failure = not line.startswith(NOT_SCORED)
            unavailable += failure
            lines.append(f"{metric}: {'metric_unavailable' if failure else WAITING}: {line}")
    details = f" ({', '.join(f'{name} {count}' for name, count in counts.items())})" if counts else ""
    lines.append(f"{len(failed)} of {len(plan.runs)} runs without result{details}")
    return "\n".join(lines), len(failed) + unavailable


def _last_lines(log: Path) -> list[str]:
    """The last lines of a log; of a line that a bar of progress rewrote, how it was in the end."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    lines = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return [line for line in lines if line][-_LINES:]
