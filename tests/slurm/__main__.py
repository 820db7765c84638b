"""Sweeps on a one-node SLURM, undisturbed and disturbed, beside plain ones: python -m tests.slurm FOLDER

Needs SLURM's and munge's programs (Debian: slurm-wlm, munge) and the extra `slurm`. The cluster lives in
FOLDER and ends with this process. While a sweep works its node is drained, its slurmd killed, the node lost
with all its processes, Snakemake interrupted and then killed; the same command alone has to end it. All
tables and weights must be those of a plain sweep.
"""

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.kill_storm import REPOSITORY, continued, differences, storm_config
from tests.slurm.cluster import DEVICES, PATIENCE, Cluster, missing

SMOKE = REPOSITORY / "configs/smoke.yaml"
PLUGIN = "snakemake_executor_plugin_slurm"
# Of a tiny cluster without accounting: squeue tells what has ended, and is asked often.
SLURM = (
    *("--workflow-profile", str(REPOSITORY / "profiles/slurm")),
    *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3"),
)
# Columns of `runs` beside a run's provenance that no two sweeps share.
MEASURED = {"wall_seconds", "train_seconds", "peak_memory_mib", "energy_joules", "continued"}
STARTED = time.monotonic()


def say(text: str) -> None:
    print(f"{time.monotonic() - STARTED:5.0f} s  {text}", flush=True)


def lacking() -> list[str]:
    """What has to be installed first, each in a line."""
    lines = [f"{name} is not installed: apt-get install slurm-wlm munge" for name in missing()]
    if importlib.util.find_spec(PLUGIN) is None:
        lines.append(f'{PLUGIN} is not installed: pip install -e ".[pipeline,slurm]"')
    return lines


class Sweep:
    """A sweep of a config in a folder of its own, by one command; what it says goes to log.txt there."""

    def __init__(self, folder: Path, config: str, cluster: Cluster | None = None) -> None:
        self.folder, self.cluster = folder.resolve(), cluster
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(config)
        environment = os.environ if cluster is None else cluster.environment
        self._environment = {**environment, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *_python_path()])}

    def start(self) -> subprocess.Popen[bytes]:
        snakemake = str(Path(sys.executable).parent / "snakemake")
        where = ["-s", str(REPOSITORY / "Snakefile"), "--directory", str(self.folder)]
        how = ["--cores", "2"] if self.cluster is None else SLURM
        command = [snakemake, *where, "--configfile", str(self.folder / "config.yaml"), *how]
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, env=self._environment, start_new_session=True
            )

    def run(self, name: str) -> None:
        """To its end; SystemExit where it fails."""
        began = time.monotonic()
        code = self.start().wait()
        say(f"{name}: exit code {code} after {time.monotonic() - began:.0f} s; {self.statuses()}")
        if code:
            sys.exit(f"see {self.folder}/log.txt")

    def statuses(self) -> str:
        found = Counter(
            json.loads(path.read_text())["status"]
            for path in (self.folder / "results/runs").glob("*/status.json")
        )
        return ", ".join(f"{count} runs {status}" for status, count in found.items()) or "none has ended"

    def at_work(self, since: float) -> list[str]:
        """Runs that have written a checkpoint since a moment (of time.time) and have not ended."""
        checkpoints = (self.folder / "results/runs").glob("*/checkpoints/*.json")
        return sorted({path.parts[-3] for path in checkpoints if _written(path) > since})


def _python_path() -> list[str]:
    return [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # a newer one has taken its place
        return 0.0


def wait_for_work(sweep: Sweep, process: subprocess.Popen[bytes], cluster: Cluster) -> None:
    """Until a run has made a checkpoint from now on; SystemExit where the sweep has ended before."""
    since, end = time.time(), time.monotonic() + PATIENCE
    while not (found := sweep.at_work(since)):
        if process.poll() is not None or time.monotonic() > end:
            sys.exit(f"no run was at work to be disturbed; see {sweep.folder}/log.txt, or give more --steps")
        time.sleep(0.2)
    say(f"on GPUs {', '.join(cluster.gpus_in_use())} at work: {', '.join(found)}; {sweep.statuses()}")


def check_devices(cluster: Cluster) -> None:
    """Jobs use the GPUs that SLURM gives them and lock none; of several that a job has, a run takes one."""
    folder = cluster.folder / "with-driver"
    folder.mkdir()
    program = folder / "nvidia-smi"
    lines = [f"GPU {number}: Fake (UUID: GPU-{number:08x})" for number in range(len(DEVICES))]
    program.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    program.chmod(0o755)
    path = os.pathsep.join([str(folder), cluster.environment["PATH"]])
    variables = {"PATH": path, "TMPDIR": str(folder), "PYTHONPATH": str(REPOSITORY)}
    probe = [sys.executable, "-m", "tests.slurm.probe"]
    alone = ["srun", "--gpus=1", "--ntasks=1", "--mem=1000", *probe]
    two = [json.loads(said) for said in cluster.ask_together(alone, alone, **variables)]
    say("two jobs with one GPU each, at once: " + "; ".join(map(json.dumps, two)))
    if sorted(job["given"] for job in two) != ["0", "1"] or any(job["locks"] for job in two):
        sys.exit("each was to have a GPU of its own, and no lock")
    if any(job["used"] != job["given"] for job in two):
        sys.exit("each was to use what it was given")
    both = ["srun", "--gpus=2", "--ntasks=1", "--mem=1000", *probe]
    (one,) = (json.loads(said) for said in cluster.ask_together(both, **variables))
    say("a job with two GPUs: " + json.dumps(one))
    if one["given"] != "0,1" or len(one["gpus"]) != 1 or not one["locks"]:
        sys.exit("one of them was to be taken, and locked")


def disturb(sweep: Sweep, cluster: Cluster) -> None:
    """All that may happen to a node, and to Snakemake, while runs are at work."""
    process = sweep.start()
    wait_for_work(sweep, process, cluster)
    cluster.drain()
    cluster.requeue()
    while cluster.jobs("running,completing"):
        time.sleep(0.5)
    time.sleep(5)
    say(f"node drained, its jobs requeued: {len(cluster.jobs('running'))} running, {cluster.node_state()}")
    cluster.resume()
    wait_for_work(sweep, process, cluster)
    cluster.kill_daemon()
    say("slurmd killed, its jobs live on")
    cluster.wait_until_lost()
    say(f"the controller calls the node {cluster.node_state()}")
    cluster.start_node()
    wait_for_work(sweep, process, cluster)
    cluster.lose_node()
    say("slurmd and all processes of its jobs killed")
    cluster.wait_until_lost()
    say(f"the controller calls the node {cluster.node_state()}")
    cluster.start_node()
    wait_for_work(sweep, process, cluster)
    process.send_signal(signal.SIGINT)
    say(f"Snakemake interrupted: exit code {process.wait()}, {len(cluster.jobs('running'))} jobs running")
    process = sweep.start()
    wait_for_work(sweep, process, cluster)
    process.kill()
    say(f"Snakemake killed: exit code {process.wait()}, {len(cluster.jobs('running'))} jobs running")


def compare(plain: Sweep, slurm: Sweep) -> None:
    """SystemExit where results differ in more than where, when and by what they were made."""
    records = (plain.folder / "results/runs").glob("*/run.json")
    provenance = {key for path in records for key in json.loads(path.read_text())["provenance"]}
    elsewhere = {f"runs: {column}" for column in provenance | MEASURED}
    found = [
        name
        for name in differences(plain.folder, slurm.folder)
        if name not in elsewhere and not name.startswith("runs: seconds_")
    ]
    say("differs from the plain sweep: " + (", ".join(found) or "no table, no weights, no answer"))
    if found:
        sys.exit(1)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a new folder, below which all is written")
    parser.add_argument("--steps", type=int, default=400, help="of each training of the disturbed sweep")
    options = parser.parse_args(arguments)
    if lines := lacking():
        print("\n".join(lines), file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the cluster has to end
    # A shell's background jobs ignore it, and so would what is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    longer = yaml.safe_dump(storm_config(SMOKE, options.steps))
    cluster = Cluster(options.folder / "cluster")
    try:
        cluster.start()
        say(f"{cluster.ask('sinfo', '--version')}: node {cluster.node_state()}, {cluster.gpus()}")
        check_devices(cluster)
        plain = Sweep(options.folder / "plain", SMOKE.read_text())
        plain.run("smoke.yaml, plain")
        through = Sweep(options.folder / "slurm", SMOKE.read_text(), cluster)
        through.run("smoke.yaml, SLURM")
        compare(plain, through)
        plain = Sweep(options.folder / "plain-longer", longer)
        plain.run(f"{options.steps} steps, plain")
        disturbed = Sweep(options.folder / "slurm-disturbed", longer, cluster)
        disturb(disturbed, cluster)
        disturbed.run(f"{options.steps} steps, SLURM, the same command again")
        for times, runs in sorted(continued(disturbed.folder).items()):
            say(f"{runs} runs went on {times} times from a checkpoint")
        compare(plain, disturbed)
    finally:
        cluster.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
