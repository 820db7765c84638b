"""Time that plans of growing size take, to be made, to be read by Snakemake, and to be collected."""

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from amad_bench.bench.processes import AMAD_BENCH, environment
from amad_bench.plan.catalogue import METRICS, metrics_of
from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import expand
from amad_bench.plan.run import Run
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import write_json_atomic, write_text_atomic
from amad_bench.runtime.paths import DEFAULT_CONFIG, TEMPLATE, shipped
from amad_bench.runtime.results import ResultsFolder
from amad_bench.runtime.run_folder.predictions import Prediction, write_predictions
from amad_bench.runtime.run_folder.run_record import RunRecord
from amad_bench.runtime.run_folder.scores import write_scores
from amad_bench.runtime.run_folder.status import Status

SIZES = (10, 100, 1000, 2000)  # planned runs
EXAMPLES = 240  # of a fake run's test split
_VALIDATIONS = 5  # of its training
_LOSSES = ("ce", "logit_kd", "student_mean", "amad")


def bench_scaling(folder: Path, sizes: Sequence[int] = SIZES) -> list[dict[str, Any]]:
    """A row for each number of planned runs; `folder` is emptied first and holds the last plan afterwards.

    The results are those of runs that were never trained: files as a run leaves them, with random scores of
    EXAMPLES test examples. Every command has a process of its own on one core. Columns: runs; wall time in
    seconds of plan, snakemake_left (`snakemake -n`, nothing is done yet), snakemake_done (all runs are) and
    collect, and how much of it the processor worked (cpu), which other work on the machine hardly changes.
    """
    if not shipped(Path("Snakefile")).is_file():
        raise UserError("Snakefile: no such file; measure in a checkout of the repository")
    return [_measure(folder, size) for size in sizes]


def _measure(folder: Path, size: int) -> dict[str, Any]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(sized_config(size)), encoding="utf-8")
    rules = str(shipped(Path("Snakefile")).resolve())
    asked = [sys.executable, "-m", "snakemake", "-n", "-s", rules, "--configfile", str(config)]
    row: dict[str, Any] = {"runs": size}
    row |= _seconds("plan", [*AMAD_BENCH, "plan", "--config", str(config)], folder)
    row |= _seconds("snakemake_left", asked, folder)
    finish_runs(expand(load_config(config)).runs, ResultsFolder(folder / "results"))
    row |= _seconds("snakemake_done", asked, folder)
    return row | _seconds("collect", [*AMAD_BENCH, "collect", "--config", str(config)], folder)


def sized_config(size: int) -> dict[str, Any]:
    """The default config with exactly so many runs: five task entries, few losses, a teacher per replicate.

    UserError for a size that is no multiple of 10 below 25, or of 25.
    """
    losses = _LOSSES if size % 25 == 0 else _LOSSES[:1]
    replicates, rest = divmod(size, 5 * (1 + len(losses)))
    if rest or not replicates:
        raise UserError(f"{size} planned runs: expected a multiple of 10 or of 25")
    config = yaml.safe_load(shipped(DEFAULT_CONFIG).read_text(encoding="utf-8"))
    scenes = {"train_images": 100, "validation_images": 10, "test_images": EXAMPLES}
    for entry in config["tasks"]:
        entry["student"]["examples"] = "all"
    return config | {
        "name": f"scaling-{size}",
        "device": "cpu",
        "replicates": replicates,
        "teacher_per": "replicate",
        "datasets": {"scenes": scenes},
        "losses": [{"name": name} for name in losses],
    }


def _seconds(name: str, command: Sequence[str], folder: Path) -> dict[str, float]:
    """Wall and processor time of a command that must succeed, on the first core that this process may use."""
    core = {min(os.sched_getaffinity(0))} if hasattr(os, "sched_setaffinity") else set[int]()

    def on_one_core() -> None:
        if core:
            os.sched_setaffinity(0, core)

    template = folder / TEMPLATE
    template.parent.mkdir(exist_ok=True)
    shutil.copy(shipped(TEMPLATE), template)
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, preexec_fn=on_one_core, env=environment()
    )
    taken, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {name: taken, f"{name}_cpu": cpu}


def finish_runs(runs: Sequence[Run], results: ResultsFolder) -> None:
    """Writes what finished runs leave, weights apart, with the same prepared data for all."""
    for key in dict.fromkeys(run.data_key for run in runs):
        write_json_atomic(results.prepared(key), {"prepared": "nowhere"})
    generator = np.random.default_rng(0)
    for run in runs:
        _finish(run, results, generator)


def _finish(run: Run, results: ResultsFolder, generator: np.random.Generator) -> None:
    folder = results.run(run.id)
    splits = ("test", "test_blind", "test_majority") if run.config.controls else ("test",)
    write_scores(folder.scores, run.id, {split: _scores(run, generator) for split in splits})
    groups = {"answer_type": "other"} if run.config.task == "vqa" else {}
    write_predictions(
        folder.predictions,
        [
            Prediction(split, f"e{number:06d}", f"i{number // 4:06d}", "a red circle", ["a circle"], groups)
            for split in splits
            for number in range(EXAMPLES)
        ],
    )
    validated = [
        f'{{"step": {20 * number}, "validation_token_accuracy": 0.5, "validation_loss": 1.5}}\n'
        for number in range(1, _VALIDATIONS + 1)
    ]
    write_text_atomic(folder.steps, "".join(validated))
    RunRecord(run.id, run.kind, run.config.canonical(), {"device": "cpu"}).write(folder.record)
    Status(wall_seconds=60.0, train_seconds=50.0, steps=100, best_step=80).write(folder.status)


def _scores(run: Run, generator: np.random.Generator) -> pd.DataFrame:
    frames = []
    for metric in metrics_of(run.config.task, run.config.dataset.record):
        count = METRICS[metric].statistics
        statistics = generator.integers(0, 10, (EXAMPLES, count)).astype(float).tolist() if count else None
        frames.append(
            pd.DataFrame(
                {
                    "metric": metric,
                    "example_id": [f"e{number:06d}" for number in range(EXAMPLES)],
                    "cluster_id": [f"i{number // 4:06d}" for number in range(EXAMPLES)],
                    "value": generator.random(EXAMPLES),
                    "statistics": pd.Series(statistics or [None] * EXAMPLES, dtype=object),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)
