"""The Snakefile's graph: run for real with stand-ins for the commands, in a folder of its own."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from amad_bench.cli import main
from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import expand
from tests.conftest import REPOSITORY

COMMAND = """
import json, os, sys
from pathlib import Path
from amad_bench.cli import main
from amad_bench.plan.agreement import made_of
from amad_bench.plan.config.load import load_config
from amad_bench.plan.extra_metrics import extra_ended, signature, usable_runs
from amad_bench.plan.grid import expand
from amad_bench.plan.standing import standing
from amad_bench.runtime.results import COLLECTED, COMPARED, RESULTS
from tests.run_folders import begin_run, end_run

command, options = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2]))
if command == "failures":
    raise SystemExit(main(sys.argv[1:]))
assert Path(options["--config"]).is_file() and os.environ["OMP_NUM_THREADS"] == "1"
assert command != "paper" or Path(options["--template"]).is_file()
outputs = {
    "data": [f"results/data/prepared/{options.get('--key')}.json"],
    "run": [f"results/runs/{options.get('--run')}/ended"],
    "collect": RESULTS.table_files(*COLLECTED),
    "score": ["results/extra_scores.parquet"],
    "compare": [*RESULTS.table_files(*COMPARED), *RESULTS.printed_files()],
    "figures": RESULTS.figure_files(),
    "report": [RESULTS.report],
    "paper": ["paper/main.pdf"],
}[command]
if Path("broken").exists() and Path("broken").read_text() in options.get("--run", ""):
    raise SystemExit("a bug")
plan = expand(load_config(options["--config"]))
if command == "run":
    begin_run(plan.run(options["--run"]))
    if Path("hangs").exists():
        Path("hangs").write_text(str(os.getpid()))
        import time; time.sleep(60)
    end_run(plan.run(options["--run"]), status=Path("ends").read_text() if Path("ends").exists() else "done")
standings = standing(plan, RESULTS)
if command == "score":
    wanted = {run_id: "sha" for run_id in usable_runs(plan, standings)["METEOR"]}
    facts = {"signatures": {"METEOR": signature("METEOR")}, "sources": {"METEOR": wanted}, "unavailable": {}}
    if Path("no Java").exists():
        facts["unavailable"] = {"METEOR": dict.fromkeys(wanted, "no Java")}
    RESULTS.extra_facts.write_text(json.dumps(facts))
    RESULTS.extra_ended.write_text(extra_ended(plan, standings))
for output in outputs:
    before = Path(output).read_text() if command == "score" and Path(output).exists() else ""
    Path(output).write_text(before + "made")
if command == "collect":
    RESULTS.plan.write_text(json.dumps({"hash": plan.hash, "made_of": made_of(standings, RESULTS)}))
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
        rules = rules.replace('"exec amad-bench ', '"amad-bench ')
        assert rules.count('"amad-bench ') == 9
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
        return subprocess.run(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=cwd or self.folder,
            env=self.environment() | variables,
            capture_output=True,
            text=True,
        )

    def environment(self) -> dict[str, str]:
        """The stand-ins import what tests share."""
        kept = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        return kept | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])}

    def planned(self, *arguments: str) -> list[str]:
        """The runs, without hashes, that a dry run lists."""
        done = self.snakemake("-n", "--logger-amad-bench-off", *arguments)
        assert done.returncode == 0, done.stderr
        found = re.findall(r"output: results/runs/(\S+)-\w+/ended", done.stdout + done.stderr)
        return list(dict.fromkeys(found))

    def run_folder(self, name: str) -> Path:
        (found,) = (self.folder / "results/runs").glob(f"{name}-*")
        return found

    def run(self, *arguments: str) -> list[str]:
        """Runs to the end; the commands that were called, without the hash of an id."""
        (self.folder / "done.txt").write_text("")
        done = self.snakemake("--cores", "2", *arguments)
        assert done.returncode == 0, done.stderr
        return self.done()

    def done(self) -> list[str]:
        lines = (self.folder / "done.txt").read_text().split("\n")
        named = [line.rsplit("-", 1)[0].strip() for line in lines if line]
        if set(named[-2:]) == {"paper", "report"}:  # at the same time
            named[-2:] = ["paper", "report"]
        return named


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Project:
    return Project(tmp_path, repository)


AFTER = ["collect", "compare", "figures", "paper", "report"]


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
def test_a_metric_that_failed_is_tried_again_by_each_call(project: Project) -> None:
    tasks = [CONFIG["tasks"][0] | {"task": "captioning"}]
    project.write("configs/default.yaml", {**CONFIG, "tasks": tasks, "extra_metrics": ["METEOR"]})
    (project.folder / "no Java").touch()
    project.run()
    assert project.run() == ["score", *AFTER]
    (project.folder / "no Java").unlink()
    assert project.run() == ["score", *AFTER]
    assert project.run() == []


TEACHER, CE, AMAD = (f"vlt5-vqa-{name}-none-s00" for name in ("h4-teacher", "h4to2-ce", "h4to2-amad_kl"))


@pytest.mark.slow
def test_what_failed_or_is_damaged_is_planned_again(project: Project, monkeypatch) -> None:
    (project.folder / "ends").write_text("diverged")
    project.run()
    assert project.planned() == []  # a failure is a result
    (project.folder / "ends").unlink()
    monkeypatch.chdir(project.folder)
    assert main(["retry", "--config", "configs/default.yaml", "--status", "diverged"]) == 0
    assert len(project.run()) == 3 + len(AFTER)
    (project.run_folder(CE) / "status.json").write_text("{")  # as by a full disk
    assert project.planned() == [CE]
    assert project.run() == [f"run {CE}", *AFTER]


@pytest.mark.slow
@pytest.mark.parametrize("profile", [[], ["--workflow-profile", "none"]])
def test_what_has_ended_is_known_by_content(
    project: Project, tmp_path_factory: pytest.TempPathFactory, profile: list[str]
) -> None:
    project.run(*profile)
    shutil.rmtree(project.run_folder(TEACHER))
    assert project.planned(*profile) == [TEACHER]
    assert project.run(*profile) == [f"run {TEACHER}", *AFTER]

    elsewhere = Project(tmp_path_factory.mktemp("copied"), REPOSITORY)
    results = elsewhere.folder / "results"
    shutil.copytree(project.folder / "results", results, copy_function=shutil.copyfile)  # new times
    shutil.rmtree(results / "data")
    for marker in (results / "runs").glob("*/ended"):
        marker.unlink()  # they say nothing on their own
    assert elsewhere.planned(*profile) == []
    assert not [line for line in elsewhere.run(*profile) if line.startswith(("run", "data"))]


@pytest.mark.slow
@pytest.mark.parametrize("profile", [[], ["--workflow-profile", "none"]])
def test_the_same_command_goes_on_after_a_kill_of_everything(project: Project, profile: list[str]) -> None:
    project.run("--until", "teacher", *profile)
    hangs = project.folder / "hangs"
    hangs.touch()
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *profile]
    killed = subprocess.Popen(
        command,
        cwd=project.folder,
        env=project.environment(),
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    while not hangs.read_text():
        time.sleep(0.1)
    second = project.snakemake("--cores", "2", *profile)
    assert second.returncode != 0
    assert f"Snakemake (process {killed.pid} on {socket.gethostname()}) works in this folder" in second.stderr
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert list((project.folder / ".snakemake/locks").iterdir())
    hangs.unlink()
    (project.folder / "done.txt").write_text("")
    done = project.snakemake("--cores", "2", *profile)
    assert done.returncode == 0, done.stderr
    assert f"Snakemake (process {killed.pid}" in done.stderr
    assert "was killed in this folder, its locks are removed" in done.stderr
    assert sorted(project.done()) == sorted([f"run {CE}", f"run {AMAD}", *AFTER])


@pytest.mark.slow
def test_strict_is_an_error_at_the_end_and_only_there(project: Project) -> None:
    (project.folder / "ends").write_text("out_of_memory")
    done = project.snakemake("--cores", "2", "strict")
    assert done.returncode == 1
    assert project.done()[-len(AFTER) :] == AFTER
    assert "3 of 3 runs without result (out_of_memory 3)" in done.stdout + done.stderr
    assert project.run() == []


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
def test_runs_on_a_gpu_take_slots(project: Project, device: str, jobs: int) -> None:
    project.write("configs/default.yaml", {**CONFIG, "device": device})
    done = project.snakemake("-n", "--logger-amad-bench-off")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert len(re.findall(r"^ *resources: .*\bgpu=1$", text, re.MULTILINE)) == jobs
