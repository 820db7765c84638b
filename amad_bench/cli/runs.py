"""Commands about runs: run, score, status, clean."""

import argparse
import shutil
import sys
import time
from typing import TYPE_CHECKING

from amad_bench.cli.common import planned
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import abandoned
from amad_bench.runtime.results import RESULTS

if TYPE_CHECKING:
    from amad_bench.plan.plan import Plan
    from amad_bench.plan.run import Run


def run(options: argparse.Namespace) -> None:
    begun = time.perf_counter()
    chosen, device, workers = _run_and_machine(options)
    from amad_bench.training.run import train_run

    ended = train_run(chosen, device, workers, time.perf_counter() - begun)
    print(f"{chosen.id}: {ended}")


def score(options: argparse.Namespace) -> None:
    if options.run is None:
        _score_extra(planned(options))
        return
    chosen, device, workers = _run_and_machine(options)
    from amad_bench.training.run import score_run

    print(f"{chosen.id}: {score_run(chosen, device, workers)}")


def _score_extra(plan: "Plan") -> None:
    from amad_bench.analysis.measured_by import runs_measured_by
    from amad_bench.runtime.locks import exclusive
    from amad_bench.runtime.run_folder.status import Status
    from amad_bench.scoring.extra import by_reason, read_extra, score_extra, write_extra

    def usable(run_id: str) -> bool:
        folder = RESULTS.run(run_id)
        return folder.finished and Status.read(folder.status).usable

    wanted = {metric: list(filter(usable, runs_measured_by(metric, plan))) for metric in plan.extra_metrics}
    RESULTS.path.mkdir(parents=True, exist_ok=True)
    with exclusive(RESULTS.path):  # another config's `score` adds to the same file
        scores = score_extra(wanted, RESULTS, read_extra(RESULTS))
        write_extra(RESULTS, scores)
    rows = zip(scores.frame["metric"], scores.frame["run_id"], strict=True)
    own = sum(run_id in wanted.get(metric, ()) for metric, run_id in rows)
    print(f"{', '.join(wanted) or 'no extra metrics'}: {own} scores")
    for metric, run_ids in wanted.items():
        reasons = scores.unavailable.get(metric, {})
        for line in by_reason({run_id: reasons[run_id] for run_id in run_ids if run_id in reasons}):
            print(f"{metric}: metric_unavailable: {line}", file=sys.stderr)


def _run_and_machine(options: argparse.Namespace) -> "tuple[Run, str, int]":
    """The run, the device and the number of processes that load its batches."""
    from amad_bench.plan.config.load import load_config
    from amad_bench.plan.grid import find_run

    config = load_config(options.config)
    return find_run(config, options.run), options.device or config.device, config.workers


def status(options: argparse.Namespace) -> None:
    from amad_bench.plan.overview import progress_report

    print(progress_report(planned(options)))


def clean(options: argparse.Namespace) -> None:
    plan = planned(options)
    if absent := next((skip for skip in plan.skipped if skip.absent), None):
        raise UserError(
            f"{options.config}: {absent.setting} is not planned only for want of data ({absent.reason}), and "
            "its finished runs would be removed: make the data available, or delete by hand"
        )
    kept = {RESULTS.run(identifier).path for identifier in plan.by_id}
    folders = sorted(RESULTS.runs.iterdir()) if RESULTS.runs.is_dir() else []
    others = [folder for folder in folders if folder.is_dir() and folder not in kept]
    read = {RESULTS.outputs(key) for run in plan.runs if (key := run.config.outputs_key) is not None}
    stored = sorted(RESULTS.teacher_outputs.iterdir()) if RESULTS.teacher_outputs.is_dir() else []
    others += [folder for folder in stored if folder not in read]
    unfinished = [left for folder in RESULTS.preparing() for left in abandoned(folder)]
    for folder in [*others, *unfinished]:
        print(folder)
        if options.yes:
            shutil.rmtree(folder)
    done = "removed" if options.yes else "not in this plan; `--yes` removes them"
    also = f" ({len(unfinished)} killed preparations of data likewise)" if unfinished else ""
    print(f"{len(others)} of {len(folders) + len(stored)} folders {done}{also}", file=sys.stderr)
