"""Commands about runs: run, score, status, clean."""

import argparse
import shutil
import sys
from typing import TYPE_CHECKING

from amad_bench.cli.common import planned
from amad_bench.runtime.paths import results_dir, run_dir, runs_dir

if TYPE_CHECKING:
    from amad_bench.plan.grid import Plan
    from amad_bench.plan.run import Run


def run(options: argparse.Namespace) -> None:
    chosen, device, workers = _run_and_machine(options)
    from amad_bench.training.run import train_run

    print(f"{chosen.id}: {train_run(chosen, device, workers)}")


def score(options: argparse.Namespace) -> None:
    if not options.run:
        _score_extra(planned(options))
        return
    chosen, device, workers = _run_and_machine(options)
    from amad_bench.training.run import score_run

    print(f"{chosen.id}: {score_run(chosen, device, workers)}")


def _score_extra(plan: "Plan") -> None:
    from amad_bench.runtime.errors import USABLE
    from amad_bench.runtime.files import read_json
    from amad_bench.scoring.extra import read_extra, score_extra, write_extra

    folders = {run.id: run_dir(run.id) for run in plan.runs if (run_dir(run.id) / "status.json").is_file()}
    usable = {
        identifier: folder
        for identifier, folder in folders.items()
        if read_json(folder / "status.json")["status"] in USABLE
    }
    scores = score_extra(plan.extra_metrics, usable, read_extra(results_dir()))
    write_extra(results_dir(), scores)
    print(f"{', '.join(plan.extra_metrics) or 'no extra metrics'}: {len(scores.frame)} scores")
    for metric, reason in scores.unavailable.items():
        print(f"{metric}: metric_unavailable: {reason}", file=sys.stderr)


def _run_and_machine(options: argparse.Namespace) -> "tuple[Run, str, int]":
    """The run, the device and the number of processes that load its batches."""
    from amad_bench.plan.grid import expand
    from amad_bench.plan.schema import load_config

    config = load_config(options.config)
    return expand(config).run(options.run), options.device or config.device, config.workers


def status(options: argparse.Namespace) -> None:
    from amad_bench.plan.overview import progress_report

    print(progress_report(planned(options)))


def clean(options: argparse.Namespace) -> None:
    kept = {run_dir(identifier) for identifier in planned(options).by_id}
    folders = sorted(runs_dir().iterdir()) if runs_dir().is_dir() else []
    others = [folder for folder in folders if folder.is_dir() and folder not in kept]
    for folder in others:
        print(folder)
        if options.yes:
            shutil.rmtree(folder)
    done = "removed" if options.yes else "not in this plan; `--yes` removes them"
    print(f"{len(others)} of {len(folders)} run folders {done}", file=sys.stderr)
