"""Commands about what went wrong: failures, retry."""

import argparse
from typing import TYPE_CHECKING

from amad_bench.cli.common import planned
from amad_bench.runtime.errors import STATUSES, UserError, did_you_mean
from amad_bench.runtime.results import RESULTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amad_bench.plan.plan import Plan
    from amad_bench.plan.standing import Standing
    from amad_bench.runtime.run_folder.folder import RunFolder

FAILURES = STATUSES[1:]


def failures(options: argparse.Namespace) -> int:
    """Exit code: 1 where --strict was asked for and something has failed, else 0."""
    from amad_bench.plan.failed import failures_report
    from amad_bench.plan.standing import standing

    plan = planned(options)
    report, count = failures_report(plan, standing(plan, RESULTS), RESULTS)
    print(report)
    return int(options.strict and count > 0)


def retry(options: argparse.Namespace) -> None:
    from amad_bench.plan.extra_metrics import unscored
    from amad_bench.plan.standing import standing
    from amad_bench.runtime.locks import exclusive

    plan = planned(options)
    before = standing(plan, RESULTS)
    for identifier in _asked(options, plan, before):
        folder = RESULTS.run(identifier)
        with exclusive(folder.path):
            if not (before[identifier].state == "metric_unavailable" and _scores_forgotten(folder)):
                folder.forget()
    after = standing(plan, RESULTS)
    for identifier, own in before.items():
        if after[identifier].left and not own.left:
            print(f"{identifier}: planned again (was {own.state})")
    if "metric_unavailable" in options.status:
        RESULTS.extra_ended.unlink(missing_ok=True)
        for metric, reasons in unscored(plan, RESULTS, after).items():
            print(f"{metric}: tried again for {len(reasons)} runs")
    left = sum(own.left for own in after.values())
    print(f"{left} of {len(plan.runs)} runs are left; `snakemake --cores all` goes on")


def _scores_forgotten(folder: "RunFolder") -> bool:
    """Plan the predictions of a run lacking a metric again, not its training; False where that cannot be."""
    from amad_bench.training.finished import forget_scores

    return forget_scores(folder)


def _asked(options: argparse.Namespace, plan: "Plan", standings: "Mapping[str, Standing]") -> list[str]:
    """The ids of the runs to plan again; UserError with a line for each that cannot be."""
    from amad_bench.plan.standing import RUNNING

    if not options.runs and not options.status:
        raise UserError(f"no run is named; give ids, or --status with some of {', '.join(FAILURES)}")
    problems: list[str] = []
    for status in options.status:
        if status not in FAILURES:
            hint = did_you_mean(status, FAILURES)
            problems.append(f"--status {status!r}: expected some of {', '.join(FAILURES)}.{hint}")
    for identifier in options.runs:
        try:
            plan.run(identifier)
        except UserError as error:
            problems += error.messages
            continue
        if standings[identifier].state == RUNNING:
            problems.append(f"run {identifier!r} is running; wait for its end, or stop its process first")
    if problems:
        raise UserError(*problems)
    asked = dict.fromkeys(options.runs)
    asked |= dict.fromkeys(name for name, own in standings.items() if own.state in options.status)
    return [identifier for identifier in asked if not standings[identifier].left]
