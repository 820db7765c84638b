"""Commands that compute, on a machine whose GPUs are not there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import expand
from amad_bench.runtime.results import RESULTS
from tests.conftest import REPOSITORY
from tests.runtime.gpu_machine import gpu_machine, uuid_of

# `amad-bench`, told where it came in: its place, and whether torch was there already. It goes no further.
ONLY_SO_FAR = """
import os, sys
from amad_bench.cli import main
from amad_bench.runtime import slots
def come_in(own):
    print(own, os.environ.get("CUDA_VISIBLE_DEVICES"), "torch" in sys.modules)
    raise SystemExit(7)
slots._at = come_in
sys.exit(main(sys.argv[1:]))
"""
ALL = "import sys; from amad_bench.cli import main; sys.exit(main(sys.argv[1:]))"


class Machine:
    def __init__(self, folder: Path) -> None:
        raw = yaml.safe_load((REPOSITORY / "configs/smoke.yaml").read_text())
        raw |= {"losses": [{"name": "ce"}], "replicates": 1, "device": "auto"}
        raw["tasks"] = raw["tasks"][:1]
        raw["tasks"][0]["student"]["steps"] = 2
        self.folder = folder
        (folder / "config.yaml").write_text(yaml.safe_dump(raw))
        plan = expand(load_config(folder / "config.yaml"))
        self.run_id = next(run.id for run in plan.runs if run.kind == "student")

    def call(self, code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        known = {key: value for key, value in os.environ.items() if not key.startswith(("CUDA_", "SLURM_"))}
        known |= gpu_machine(self.folder / "bin", 2) | {"PYTHONPATH": str(REPOSITORY)} | variables
        command, *rest = arguments
        return subprocess.run(
            [sys.executable, "-c", code, command, "--config", "config.yaml", *rest],
            cwd=self.folder,
            env=known,
            capture_output=True,
            text=True,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("command", ["run", "score", "predict"])
def test_a_place_is_taken_before_torch_is_there(machine: Machine, command: str) -> None:
    asked = ["--questions", "q", "--photos", "p", "--out", "o"] if command == "predict" else []
    named = [machine.run_id] if command == "predict" else ["--run", machine.run_id]
    done = machine.call(ONLY_SO_FAR, command, *named, *asked, CUDA_VISIBLE_DEVICES="1,0")
    assert done.returncode == 7, done.stderr
    assert done.stdout == f"Place(gpus=('{uuid_of(1)}',), runs=8) 1 False\n"


@pytest.mark.slow
def test_a_run_that_torch_cannot_place_ends_in_one_line(machine: Machine) -> None:
    """Whatever torch is here, it sees no such GPU."""
    done = machine.call(ALL, "run", "--run", machine.run_id)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("amad-bench: error: device: auto: this machine has a GPU, but torch ")
    assert not (machine.folder / RESULTS.run(machine.run_id).path).exists()


@pytest.mark.slow
def test_on_the_cpu_it_goes_on(machine: Machine) -> None:
    """Whatever CUDA_VISIBLE_DEVICES says."""
    done = machine.call(ALL, "run", "--run", machine.run_id, "--device", "cpu", CUDA_VISIBLE_DEVICES="9")
    assert done.returncode == 0, done.stderr
    record = json.loads((machine.folder / RESULTS.run(machine.run_id).record).read_text())
    assert record["provenance"]["device"] == "cpu"
    assert (record["provenance"]["gpus"], record["provenance"]["runs_per_gpu"]) == (None, None)


# A run whose images are seen by a pretrained model, and no preparation.
DATA = """
import os, sys
import amad_bench.cli
from amad_bench.plan import grid
find_run = grid.find_run
def of_pretrained(config, run_id):
    run = find_run(config, run_id)
    type(run.config.inputs).model_folder = "models/vit"
    return run
if os.environ["EXTRACTS"]:
    grid.find_run = of_pretrained
def prepared(by_key, image_cache_gb):
    print("prepared with", repr(os.environ["CUDA_VISIBLE_DEVICES"]))
sys.modules["amad_bench.cli.data"]._prepare = prepared
"""


@pytest.mark.parametrize("extracts", ["yes", ""])
def test_features_are_extracted_in_a_place_and_other_data_are_not(machine: Machine, extracts: str) -> None:
    done = machine.call(DATA + ONLY_SO_FAR, "data", "--run", machine.run_id, EXTRACTS=extracts)
    place = f"Place(gpus=('{uuid_of(0)}',), runs=1) 0 False\n"
    assert done.stdout == (place if extracts else "prepared with ''\n"), done.stderr
