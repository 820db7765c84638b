"""A sweep that is killed again and again, beside one that is not: python -m tests.kill_storm FOLDER

Both run by one command. SIGKILL, SIGTERM and SIGINT, shuffled, go to the whole process group at random
moments. Then that command alone has to end the sweep, with the same tables and weights.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

REPOSITORY = Path(__file__).parents[1]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# What may differ between two runs of the same science; of the tables, in `runs` only.
TABLES = (
    "scores",
    "examples",
    "learning_curves",
    "failures",
    "results",
    "comparisons",
    "headroom",
    "steps_to_score",
)
MADE = ("model.safetensors", "steps.jsonl", "predictions.jsonl", "scores.parquet")


def storm_config(path: Path, steps: int | None) -> dict[str, Any]:
    """A config with checkpoints twice a second; steps: of each training, instead of the config's."""
    config = yaml.safe_load(path.read_text(encoding="utf-8")) | {"checkpoint": {"every_s": 0.5}}
    for task in config["tasks"] if steps else ():
        for role in ("teacher", "student"):
            task[role] = task[role] | {"steps": steps}
    return config


def command(folder: Path, cores: int) -> list[str]:
    snakemake = [str(Path(sys.executable).parent / "snakemake"), "-s", str(REPOSITORY / "Snakefile")]
    return [
        *snakemake,
        "--directory",
        str(folder),
        "--configfile",
        str(folder / "config.yaml"),
        "--cores",
        str(cores),
    ]


def sweep(folder: Path, cores: int) -> subprocess.Popen[bytes]:
    """A sweep in a process group of its own; what it says goes to log.txt there."""
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            command(folder, cores), stdout=log, stderr=log, start_new_session=True, env=dict(os.environ)
        )


def killed(
    folder: Path, cores: int, signals: Sequence[signal.Signals], span: tuple[float, float], seed: int
) -> int:
    """Kills a sweep so often, each time after so many seconds; returns how often it was still at work."""
    moments, hit = random.Random(seed), 0
    for number in signals:
        process = sweep(folder, cores)
        try:
            process.wait(moments.uniform(*span))
            continue
        except subprocess.TimeoutExpired:
            hit += 1
            os.killpg(process.pid, number)
        process.wait(120)
    return hit


def differences(one: Path, other: Path) -> list[str]:
    """Files of two results folders that differ in more than where, when and by what they were made."""
    found = []
    for name in TABLES:
        path = f"results/tables/{name}.csv"
        if (one / path).read_bytes() != (other / path).read_bytes():
            found.append(path)
    runs = [pd.read_parquet(folder / "results/tables/runs.parquet") for folder in (one, other)]
    changed = [column for column in runs[0].columns if not runs[0][column].equals(runs[1][column])]
    found += [f"runs: {column}" for column in changed]
    for folder in sorted((one / "results/runs").iterdir()):
        for name in MADE:
            paths = [folder / name, other / "results/runs" / folder.name / name]
            contents = [path.read_bytes() if path.exists() else None for path in paths]
            if contents[0] != contents[1]:
                found.append(f"{folder.name}/{name}")
    return found


def continued(folder: Path) -> Counter[int]:
    """How many runs went on from a checkpoint how often."""
    statuses = (folder / "results/runs").glob("*/status.json")
    return Counter(json.loads(path.read_text())["continued"] for path in statuses)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--config", type=Path, default=REPOSITORY / "configs/smoke.yaml")
    parser.add_argument("--steps", type=int, help="of each training, instead of the config's")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--span", type=float, nargs=2, default=(3.0, 10.0), help="seconds until a kill")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # A shell's background jobs ignore it, and so would what is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config = yaml.safe_dump(storm_config(options.config, options.steps))
    for name in ("undisturbed", "killed"):
        (options.folder / name).mkdir(parents=True)
        (options.folder / name / "config.yaml").write_text(config)
    undisturbed, disturbed = options.folder / "undisturbed", options.folder / "killed"
    started = time.monotonic()
    code = sweep(undisturbed, options.cores).wait()
    print(f"undisturbed: exit code {code}, {time.monotonic() - started:.0f} s", flush=True)
    signals = [SIGNALS[k % len(SIGNALS)] for k in range(options.kills)]
    random.Random(options.seed).shuffle(signals)
    started = time.monotonic()
    hit = killed(disturbed, options.cores, signals, tuple(options.span), options.seed)
    code = sweep(disturbed, options.cores).wait()
    print(f"killed {hit} of {options.kills} times at work", flush=True)
    print(f"then exit code {code}, {time.monotonic() - started:.0f} s in all", flush=True)
    for times, runs in sorted(continued(disturbed).items()):
        print(f"{runs} runs went on {times} times from a checkpoint")
    found = differences(undisturbed, disturbed)
    print("\n".join(found) or "no file differs")
    return int(code != 0)


if __name__ == "__main__":
    sys.exit(main())
