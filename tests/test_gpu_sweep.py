"""Snakemake on a machine whose GPUs are not there: how many runs it starts at once, and where they are."""

import copy
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.gpu_machine import gpu_machine, uuid_of
from tests.test_snakefile import CONFIG, Project

STUDENTS = 6
# What a stand-in for `amad-bench run` does while it would train: it notes where it is, waits until as many
# have come in as should be there at once, and then for one more that should not.
TRAINS = """
    import argparse, time
    from amad_bench.cli.common import on_device, part_of_gpu
    config = load_config(options["--config"])
    with on_device(config.device, part_of_gpu(config, options["--run"])):
        name = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
        places = Path("places.txt")
        with places.open("a") as file:
            file.write(f"in {name}{chr(10)}")
        ends = time.monotonic() + 60
        while places.read_text().count("in ") < int(os.environ["AT_ONCE"]) and time.monotonic() < ends:
            time.sleep(0.05)
        time.sleep(0.7)
        with places.open("a") as file:
            file.write(f"out {name}{chr(10)}")
"""


def sweep(
    project: Project, at_once: int, *arguments: str, **keys: Any
) -> tuple[int, int, set[str], int | None]:
    """The most runs at once, on all GPUs and on one of them; the names of all that were used.

    At last the slots that Snakemake says it deals out: places would limit the runs without it, too.
    """
    command = project.folder / "command.py"
    command.write_text(command.read_text().replace("    end_run(plan", TRAINS + "    end_run(plan"))
    config = copy.deepcopy(CONFIG) | {"device": "auto", "losses": [{"name": "ce"}], "replicates": STUDENTS}
    project.write("configs/default.yaml", config | keys)
    (project.folder / "done.txt").write_text("")
    variables = gpu_machine(project.folder / "bin", 2) | {"AT_ONCE": str(at_once)}
    done = project.snakemake("--cores", "16", "--until", "student", *arguments, **variables)
    assert done.returncode == 0, done.stderr
    assert sum(line.startswith("run ") for line in project.done()) == STUDENTS
    inside: list[str] = []
    most = on_one = 0
    names: set[str] = set()
    for line in (project.folder / "places.txt").read_text().splitlines():
        moment, name = line.split(" ")
        names.add(name)
        inside.append(name) if moment == "in" else inside.remove(name)
        most, on_one = max(most, len(inside)), max(on_one, *map(inside.count, names))
    (log,) = (project.folder / ".snakemake/log").glob("*.log")
    dealt = re.search(r"Provided resources: .*\bgpu\D+(\d+)", log.read_text())
    return most, on_one, names, int(dealt[1]) if dealt else None


@pytest.fixture
def project(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in [name for name in os.environ if name.startswith(("CUDA_", "SLURM_"))]:
        monkeypatch.delenv(name)
    return Project(tmp_path, repository)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "keys", "expected"),
    [
        ([], {"runs_per_gpu": 2}, (4, 2, {"0", "1"}, 4)),
        ([], {}, (6, 3, {"0", "1"}, 16)),  # auto: all of these small ones, half of them on each GPU
        (["--resources", "gpu=1"], {}, (1, 1, {"0"}, 1)),
        (
            ["--resources", "gpu=3", "--workflow-profile", "none"],
            {"runs_per_gpu": 2},
            (3, 2, {"0", "1"}, 3),
        ),
        ([], {"device": "cpu"}, (6, 6, {""}, None)),  # as many as there are cores
    ],
)
def test_runs_at_once(
    project: Project,
    arguments: list[str],
    keys: dict[str, Any],
    expected: tuple[int, int, set[str], int | None],
) -> None:
    assert sweep(project, expected[0], *arguments, **keys) == expected


def resources(text: str) -> list[tuple[str, str]]:
    """Threads and slots of each run that a dry run lists."""
    jobs = re.split(r"^rule ", text, flags=re.MULTILINE)
    runs = [job for job in jobs if job.startswith(("teacher:", "student:"))]
    found = [(re.search(r"threads: (\d+)", job), re.search(r"\bgpu=(\d+)", job)) for job in runs]
    return [(threads[1] if threads else "1", gpu[1] if gpu else "0") for threads, gpu in found]


def test_a_run_takes_slots_and_a_thread_for_each_worker(project: Project) -> None:
    project.write("configs/default.yaml", {**CONFIG, "device": "auto", "workers": 2})
    machine = gpu_machine(project.folder / "bin", 2)
    listed = ["-n", "--logger-amad-bench-off", "--cores", "8"]
    for variables, gpu in ((machine, "1"), (machine | {"CUDA_VISIBLE_DEVICES": ""}, "0"), ({}, "0")):
        done = project.snakemake(*listed, **variables)
        assert done.returncode == 0, done.stderr
        assert resources(done.stdout + done.stderr) == [("3", gpu)] * 3


def test_a_wrong_preset_ends_before_anything_runs(project: Project) -> None:
    project.write("configs/default.yaml", {**CONFIG, "device": "auto"})
    machine = gpu_machine(project.folder / "bin", 2) | {"CUDA_VISIBLE_DEVICES": f"{uuid_of(0)},{uuid_of(0)}"}
    done = project.snakemake("-n", **machine)
    assert done.returncode == 2
    assert "amad-bench: error: CUDA_VISIBLE_DEVICES=" in done.stderr
    assert "Traceback" not in done.stderr
