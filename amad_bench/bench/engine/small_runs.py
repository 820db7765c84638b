"""Small runs of the default config: one after another, and all at once on one device."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from amad_bench.bench.processes import AMAD_BENCH, environment
from amad_bench.runtime.paths import DEFAULT_CONFIG, shipped

RUNS = 8
STEPS = 300
IMAGES = 1000


def bench_small_runs(device: str, folder: Path, runs: int = RUNS, steps: int = STEPS) -> list[dict[str, Any]]:
    """Two rows; `folder` is emptied first, and holds the runs' logs afterwards.

    Columns: case (one after another, all at once), size (runs and their steps), seconds of all of them,
    per_second (steps).
    """
    shutil.rmtree(folder, ignore_errors=True)
    rows = []
    for case, at_once in (("one after another", False), ("all at once", True)):
        own = folder / case.replace(" ", "-")
        seconds = _seconds(own, device, runs, steps, at_once)
        size = f"{runs} runs of {steps} steps"
        rows.append({"case": case, "size": size, "seconds": seconds, "per_second": runs * steps / seconds})
    return rows


def small_config(device: str, runs: int, steps: int) -> dict[str, Any]:
    """The default config's first task, with students without a teacher."""
    config = yaml.safe_load(shipped(DEFAULT_CONFIG).read_text(encoding="utf-8"))
    entry = config["tasks"][0]
    training = entry["student"] | {"examples": "all", "steps": steps, "evaluations": 1}
    return config | {
        "name": "small-runs",
        "device": device,
        "runs_per_gpu": runs,
        "replicates": runs,
        "losses": [{"name": "ce"}],
        "tasks": [entry | {"student": training, "teacher": training}],
        "datasets": {"scenes": config["datasets"]["scenes"] | {"train_images": IMAGES}},
    }


def _seconds(folder: Path, device: str, runs: int, steps: int, at_once: bool) -> float:
    folder.mkdir(parents=True)
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(small_config(device, runs, steps)), encoding="utf-8")
    asked = ["--config", "config.yaml"]
    planned = subprocess.run(
        [*AMAD_BENCH, "plan", "--json", *asked],
        cwd=folder,
        env=environment(),
        check=True,
        capture_output=True,
    )
    ids = [run["id"] for run in json.loads(planned.stdout)["runs"] if run["kind"] == "student"]
    subprocess.run(
        [*AMAD_BENCH, "data", *asked], cwd=folder, env=environment(), check=True, capture_output=True
    )
    started = time.perf_counter()
    with ExitStack() as stack:
        working: list[tuple[subprocess.Popen[bytes], Path]] = []
        for run_id in ids:
            log = folder / f"{run_id}.txt"
            process = stack.enter_context(
                _started([*AMAD_BENCH, "run", "--run", run_id, *asked], folder, log)
            )
            working.append((process, log))
            if not at_once:
                _wait(*working.pop())
        for process, log in working:
            _wait(process, log)
        return time.perf_counter() - started


@contextmanager
def _started(command: Sequence[str], folder: Path, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The process that runs the command; afterwards it is ended, should another one have failed."""
    with (
        log.open("wb") as file,
        subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=file, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()


def _wait(process: "subprocess.Popen[bytes]", log: Path) -> None:
    if code := process.wait():
        text = log.read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"a small run ended with {code}:\n{text[-2000:]}")
