"""`amad-bench run` with gpus_per_run: 2, on the CPU: interrupted, killed and started by torchrun."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amad_bench.cli import main
from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import expand
from amad_bench.plan.run import Run
from amad_bench.runtime import launch
from amad_bench.runtime.files import read_json
from amad_bench.runtime.results import RESULTS
from tests.conftest import REPOSITORY
from tests.training.conftest import CONFIG, pick
from tests.training.test_resume import MADE

pytestmark = pytest.mark.slow
STEPS = 60


class Place:
    """A folder with a config, in which commands run."""

    def __init__(self, folder: Path, more: str = "gpus_per_run: 2\n") -> None:
        self.folder = folder
        folder.mkdir()
        text = CONFIG.format(
            rate="1.0e-3",
            temperature=1.0,
            data_seed=0,
            more_losses="",
            order_embedding="false",
            pretraining="",
            cut="none",
            precision="fp32",
        )
        text = text.replace("steps: 6", f"steps: {STEPS}").replace("batch: 8", "batch: 7")
        (folder / "c.yaml").write_text(f"{text}device: cpu\ncheckpoint: {{every_s: 0.2}}\n{more}")
        self.plan = expand(load_config(folder / "c.yaml"))

    def run(self, label: str) -> Run:
        return pick(self.plan, "vlt5", "vqa", label)

    def start(self, run: Run, *before: str) -> subprocess.Popen[str]:
        command = [
            *before,
            sys.executable,
            "-c",
            "import sys; from amad_bench.cli import main; sys.exit(main())",
        ]
        path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
        return subprocess.Popen(
            [*command, "run", "--config", "c.yaml", "--run", run.id],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, run: Run, *before: str) -> str:
        """What it printed."""
        out, err = (process := self.start(run, *before)).communicate(timeout=300)
        assert process.returncode == 0, err
        return out

    def made(self, run: Run) -> dict[str, bytes]:
        paths = [self.folder / RESULTS.run(run.id).path / name for name in MADE]
        return {path.name: path.read_bytes() for path in paths if path.exists()}

    def status(self, run: Run) -> dict[str, object]:
        return read_json(self.folder / RESULTS.run(run.id).status)

    def steps_kept(self, run: Run) -> int:
        """Of the latest checkpoint."""
        found = (self.folder / RESULTS.run(run.id).checkpoints).glob("*.json")
        return max((int(path.stem) for path in found if path.stem.isdecimal()), default=0)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("ranks") / "undisturbed")
    out = place.finish(place.run("teacher"))
    assert out.count(": done") == 1
    return place


def test_a_run_of_two_ranks_is_whole(undisturbed):
    run = undisturbed.run("teacher")
    assert undisturbed.status(run)["ranks"] == 2
    assert undisturbed.status(run)["micro_batch"] == 4
    made = undisturbed.made(run)
    assert made.keys() == {*MADE} - {"loss.safetensors"}
    steps = [json.loads(line)["step"] for line in made["steps.jsonl"].splitlines()]
    assert steps == [1, 20, 30, 30, 40, 60, 60]
    assert len(made["predictions.jsonl"].splitlines()) == 3 * 24  # of test and both controls
    folder = undisturbed.folder / RESULTS.run(run.id).path
    assert (folder / "ended").exists()
    assert not (folder / "live.json").exists()
    assert not (folder / "checkpoints").exists()


def test_interrupted_and_with_a_rank_killed_it_ends_as_it_would_have(undisturbed, tmp_path):
    """Dropout masks and drawn answers included: every rank's random state is kept."""
    place = Place(tmp_path / "disturbed")
    run = place.run("teacher")

    process = place.start(run)
    _until(lambda: place.steps_kept(run) > 0, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 143, err
    assert err.count("amad-bench: interrupted (SIGTERM); the same command goes on") == 1
    assert "Traceback" not in err
    kept = place.steps_kept(run)
    assert 0 < kept < STEPS

    process = place.start(run)
    _until(lambda: place.steps_kept(run) > kept, process)
    os.kill(_rank(process.pid, 1), signal.SIGKILL)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "rank 1 of 2 was ended by SIGKILL, and with it the others; the same command goes on" in err
    assert "Traceback" not in err
    assert place.steps_kept(run) < STEPS

    place.finish(run)
    assert place.made(run) == undisturbed.made(run)
    assert place.status(run)["continued"] == 2


def test_torchrun_starts_ranks_as_well(undisturbed, tmp_path):
    place = Place(tmp_path / "torchrun")
    run = place.run("teacher")
    torchrun = [sys.executable, "-m", "torch.distributed.run"]
    options = ["--standalone", "--nproc-per-node=2", "--no-python", "--"]
    assert place.finish(run, *torchrun, *options).count(": done") == 1
    assert place.made(run) == undisturbed.made(run)


def test_a_student_reads_its_teacher_s_outputs_on_all_ranks(undisturbed):
    student = undisturbed.run("amad_kl")
    undisturbed.finish(student)
    lines = [json.loads(line) for line in undisturbed.made(student)["steps.jsonl"].splitlines()]
    aligned = [line["alignment"]["encoder.self/1"]["rows"] for line in lines if "alignment" in line]
    assert [len(rows) for rows in aligned] == [4] * 5
    assert all(sum(row) == pytest.approx(1, abs=3e-4) for rows in aligned for row in rows)


# the second rank has no memory for its 21st step
ONE_WITHOUT_MEMORY = """
import os
import torch
from amad_bench.models.vlt5.model import VLT5
forward, calls = VLT5.forward, []
def limited(self, *arguments, **named):
    calls.extend([1] * self.training)
    if len(calls) > 20:
        raise torch.OutOfMemoryError("CUDA out of memory.")
    return forward(self, *arguments, **named)
if os.environ["RANK"] == "1":
    VLT5.forward = limited
from amad_bench.cli.rank import main
main()
"""


def test_one_rank_without_memory_ends_the_run(tmp_path, monkeypatch, capfd):
    """The other knows nothing of it, and would go on waiting."""
    place = Place(tmp_path / "memory")
    run = place.run("teacher")
    monkeypatch.chdir(place.folder)
    monkeypatch.setattr(launch, "_COMMAND", ONE_WITHOUT_MEMORY)
    assert main(["run", "--config", "c.yaml", "--run", run.id]) == 0
    status = place.status(run)
    assert (status["status"], status["ranks"], status["micro_batch"]) == ("out_of_memory", 2, 4)
    assert status["reason"] == "CUDA out of memory.; rank 1 of 2: set micro_batch below 4"
    assert "Traceback" not in capfd.readouterr().err
    folder = RESULTS.run(run.id)
    assert folder.ended.exists()
    assert not folder.live.exists()
    assert not folder.checkpoints.exists()
    monkeypatch.undo()
    assert "out_of_memory, ended before" in place.finish(run)


def _until(done, process: subprocess.Popen[str]) -> None:
    for _ in range(6000):
        if done():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError("not within a minute")


def _rank(starter: int, rank: int) -> int:
    """The process of that rank, by what it was told."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = (path / "stat").read_text().rpartition(")")[2].split()[1]
            told = (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if int(parent) == starter and f"RANK={rank}".encode() in told:
            return int(path.name)
    raise AssertionError("no such process")
