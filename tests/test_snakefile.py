"""The Snakefile's graph: run for real with stand-ins for the commands, in a folder of its own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import expand

COMMAND = """
import os, sys
from pathlib import Path

FIGURES = ("losses", "head_gap", "learning_curves")

def tables(*names):
    return [f"results/tables/{name}.{suffix}" for name in names for suffix in ("parquet", "csv")]

command, options = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2]))
assert Path(options["--config"]).is_file() and os.environ["OMP_NUM_THREADS"] == "1"
assert command != "paper" or Path(options["--template"]).is_file()
outputs = {
    "data": [f"results/data/prepared/{options.get('--key')}.json"],
    "run": [f"results/runs/{options.get('--run')}/status.json"],
    "collect": [*tables("runs", "scores", "examples", "failures", "learning_curves"), "results/plan.json"],
    "score": ["results/extra_scores.parquet", "results/extra_scores.json"],
    "compare": tables("results", "headroom", "comparisons", "steps_to_score"),
    "figures": [f"results/figures/{n}.{s}" for n in FIGURES for s in ("pdf", "png")],
    "paper": ["paper/main.pdf"],
}[command]
if Path("broken").exists() and Path("broken").read_text() in options.get("--run", ""):
    raise SystemExit("a bug")
for output in outputs:
    before = Path(output).read_text() if command == "score" and Path(output).exists() else ""
    Path(output).write_text(before + "made")
with open("done.txt", "a") as file:
    file.write(command + " " + options.get("--run", options.get("--key", "")) + chr(10))
"""
CONFIG = yaml.safe_load("""
name: graph
device: cpu
replicates: 1
datasets: {scenes: {train_images: 8, validation_images: 2, test_images: 2}}
models:
  vlt5:
    inputs: {kind: regions, boxes: file, crop: 8, max_regions: 8}
    teacher: {layers: 1, width: 16, feed_forward: 16, dropout: 0.0}
    student: {layers: 1, width: 16, feed_forward: 16, dropout: 0.0}
heads: {teacher: [4], student: [2]}
losses: [{name: ce}, {name: amad}]
sites: {vlt5: [encoder.self]}
tasks:
  - {family: vlt5, task: vqa, dataset: scenes, vocabulary: 50, decoding: {max_length: 4, beams: 1},
     teacher: &training {examples: all, steps: 4, batch: 2, learning_rate: 0.001, warmup: 0.1,
                         weight_decay: 0.0, clip: 1.0, evaluations: 1},
     student: *training}
""")


class Project:
    """A copy of the Snakefile and profile whose commands only make their outputs and note that they ran."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder = folder
        (folder / "command.py").write_text(COMMAND)
        rules = (repository / "Snakefile").read_text()
        assert rules.count('"amad-bench ') == 7
        (folder / "Snakefile").write_text(
            rules.replace('"amad-bench ', f'"{sys.executable} {folder}/command.py ')
        )
        shutil.copytree(repository / "profiles", folder / "profiles")
        (folder / "paper").mkdir()
        (folder / "paper/main.typ").touch()
        self.write("configs/default.yaml", CONFIG)

    def write(self, name: str, config: object) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(config if isinstance(config, str) else yaml.safe_dump(config))

    def snakemake(
        self, *arguments: str, cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        return subprocess.run(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=cwd or self.folder,
            env=environment | variables,
            capture_output=True,
            text=True,
        )

    def run(self, *arguments: str) -> list[str]:
        """Runs to the end; the commands that were called, without the hash of an id."""
        (self.folder / "done.txt").write_text("")
        done = self.snakemake("--cores", "2", *arguments)
        assert done.returncode == 0, done.stderr
        return self.done()

    def done(self) -> list[str]:
        lines = (self.folder / "done.txt").read_text().split("\n")
        return [line.rsplit("-", 1)[0].strip() for line in lines if line]


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Project:
    return Project(tmp_path, repository)


AFTER = ["collect", "compare", "figures", "paper"]


@pytest.mark.slow
def test_a_whole_run_then_nothing_then_only_what_changed(project: Project) -> None:
    done = project.run()
    assert done[0] == "data scenes"
    assert sorted(done[1:4]) == [
        "run vlt5-vqa-h4-teacher-none-s00",
        "run vlt5-vqa-h4to2-amad_kl-none-s00",
        "run vlt5-vqa-h4to2-ce-none-s00",
    ]
    assert done.index("run vlt5-vqa-h4-teacher-none-s00") < done.index("run vlt5-vqa-h4to2-amad_kl-none-s00")
    assert done[4:] == AFTER

    again = project.snakemake("-n")
    assert "Nothing to be done" in again.stdout + again.stderr

    losses = [{"name": "ce"}, {"name": "amad", "temperature": 0.5}]
    project.write("configs/default.yaml", {**CONFIG, "losses": losses})
    assert project.run() == ["run vlt5-vqa-h4to2-amad_kl-none-s00", *AFTER]


@pytest.mark.slow
def test_another_config_inherits_nothing_and_its_tables_replace_the_others(project: Project) -> None:
    project.write("configs/default.yaml", {**CONFIG, "seed": 7})
    project.run()
    project.write("other.yaml", {**CONFIG, "losses": [{"name": "ce"}]})
    other = expand(load_config(project.folder / "other.yaml"))
    done = project.run("--configfile", "other.yaml")
    assert done[2:] == AFTER
    assert {path.name for path in (project.folder / "results/runs").iterdir()} >= set(other.by_id)
    assert len(other.runs) == len(done[:2])  # neither the seed nor the loss amad is asked for
    assert project.run() == AFTER


@pytest.mark.slow
def test_extra_metrics_are_one_job_that_keeps_what_it_has(project: Project) -> None:
    assert "score" not in project.run()
    project.write("configs/default.yaml", {**CONFIG, "extra_metrics": ["METEOR"]})
    assert project.run() == ["score", *AFTER]
    losses = [{"name": "ce"}, {"name": "amad", "temperature": 0.5}]
    project.write("configs/default.yaml", {**CONFIG, "losses": losses, "extra_metrics": ["METEOR"]})
    assert project.run() == ["run vlt5-vqa-h4to2-amad_kl-none-s00", "score", *AFTER]
    assert (project.folder / "results/extra_scores.parquet").read_text() == "mademade"


@pytest.mark.slow
def test_a_run_that_crashes_leaves_the_others_going(project: Project) -> None:
    (project.folder / "broken").write_text("-ce-")
    failed = project.snakemake("--cores", "1")
    assert failed.returncode == 1
    assert "run vlt5-vqa-h4to2-amad_kl-none-s00" in project.done()
    log = next((project.folder / "results/runs").glob("*-ce-*/log.txt"))
    assert log.read_text() == "a bug\n"
    (project.folder / "broken").unlink()
    assert project.run() == ["run vlt5-vqa-h4to2-ce-none-s00", *AFTER]


@pytest.mark.slow
def test_results_belong_to_the_working_directory_and_home_need_not_be_writable(project: Project) -> None:
    folder = project.folder / "else where"
    folder.mkdir()
    unwritable = {"HOME": "/dev/null/home", "XDG_CACHE_HOME": "/dev/null/cache"}
    done = project.snakemake("-c", "2", "-s", "../Snakefile", cwd=folder, **unwritable)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in folder.iterdir()} == {".snakemake", "done.txt", "paper", "results"}
    assert not (project.folder / "results").exists()
    again = project.snakemake("-n", "--directory", str(folder), "--configfile", "configs/default.yaml")
    assert "Nothing to be done" in again.stdout + again.stderr


def refused(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return [line for line in done.stderr.split("\n") if line.startswith("amad-bench: error: ")]


def test_mistakes_in_the_config_end_before_anything_runs(project: Project) -> None:
    project.write("bad.yaml", {**CONFIG, "replicates": 0, "losses": [{"name": "amda"}]})
    lines = refused(project.snakemake("-n", "--configfile", "bad.yaml"))
    assert len(lines) == 2
    assert "replicates" in lines[0]
    assert "Did you mean 'amad'?" in lines[1]
    project.write("configs/default.yaml", "name: [default")
    assert "broken YAML" in refused(project.snakemake("-n"))[0]


@pytest.mark.parametrize("file", [[], ["--configfile", "configs/default.yaml"]])
def test_values_on_the_command_line_are_refused(project: Project, file: list[str]) -> None:
    lines = refused(project.snakemake("-n", *file, "--config", "replicates=2"))
    assert len(lines) == 1
    assert "copy the file, change the copy" in lines[0]


def test_two_config_files_are_refused(project: Project) -> None:
    project.write("other.yaml", CONFIG)
    lines = refused(project.snakemake("-n", "--configfile", "configs/default.yaml", "other.yaml"))
    assert "one file was expected, found 2" in lines[0]


def test_a_user_may_have_no_name(project: Project) -> None:
    """As in a container that is started with a number that its passwd does not know."""
    code = """
import pwd, sys
def unknown(uid):
    raise KeyError("uid not found")
pwd.getpwuid = unknown
from snakemake.cli import main
main(["--cores", "1", "--until", "prepare"])
"""
    names = ("LOGNAME", "USER", "LNAME", "USERNAME")
    environment = {key: value for key, value in os.environ.items() if key not in names}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project.folder, env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert project.done() == ["data scenes"]


@pytest.mark.parametrize(("device", "jobs"), [("cpu", 0), ("cuda", 3)])
def test_runs_on_a_gpu_take_turns(project: Project, device: str, jobs: int) -> None:
    project.write("configs/default.yaml", {**CONFIG, "device": device})
    done = project.snakemake("-n", "--logger-amad-bench-off")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert len(re.findall(r"^ *resources: .*\bgpu=1$", text, re.MULTILINE)) == jobs
    profile = yaml.safe_load((project.folder / "profiles/default/config.yaml").read_text())
    assert profile["resources"] == ["gpu=1"]
