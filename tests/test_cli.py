"""The command line: what it prints, and how mistakes end."""

import errno
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from amad_bench.cli import main
from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import expand
from amad_bench.plan.plan import Plan
from amad_bench.runtime.locks import exclusive
from amad_bench.runtime.versions import check_python, check_versions
from tests.run_folders import begin_run, end_run

COMMANDS = (
    *("plan", "data", "run", "score", "collect", "compare", "figures", "paper", "status", "clean"),
    *("failures", "retry", "power", "verify"),
)


@pytest.fixture
def config(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped default config with two losses, in an empty working directory."""
    raw = yaml.safe_load((repository / "configs/default.yaml").read_text())
    raw["losses"] = [{"name": "ce"}, {"name": "one_to_one"}, {"name": "amad"}]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


@pytest.fixture
def plan(config: Path) -> Plan:
    return expand(load_config(config))


@pytest.fixture
def ids(plan: Plan) -> list[str]:
    return list(plan.by_id)


def error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("amad-bench: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_a_config(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert "--config" in capsys.readouterr().out


def test_plan_as_json(config: Path, ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--json", "--config", str(config)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [run["id"] for run in printed["runs"]] == ids
    assert {frozenset(run) for run in printed["runs"]} == {frozenset(("id", "kind", "config"))}
    assert {frozenset(skip) for skip in printed["skipped"]} == {frozenset(("setting", "reason"))}


def test_plan_for_people(config: Path, ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--config", str(config)]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert lines[0].startswith(f"{config}: default: {len(ids)} runs (")
    row = next(line for line in lines if line.startswith("vlt5 vqa scenes 8 -> 2 heads"))
    assert row.split()[-3:] == ["-", "2", "2"]
    assert sum("set `drop: extra`" in line for line in lines) == 5


def test_a_limited_data_set_is_announced(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = yaml.safe_load(config.read_text())
    raw["datasets"]["scenes"]["limit"] = {"train": 20, "validation": 5, "test": 7}
    config.write_text(yaml.safe_dump(raw))
    main(["plan", "--config", str(config)])
    assert "only a part of scenes is used: train 20, validation 5, test 7" in capsys.readouterr().out


def test_every_mistake_has_its_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = yaml.safe_load(config.read_text())
    raw |= {"replicates": 0, "sede": 1}
    config.write_text(yaml.safe_dump(raw))
    assert main(["plan", "--config", str(config)]) == 2
    lines = capsys.readouterr().err.strip().split("\n")
    assert len(lines) == 2
    assert all(line.startswith(f"amad-bench: error: {config}: ") for line in lines)


def test_a_missing_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such config file" in error(["plan", "--config", str(tmp_path / "absent.yaml")], capsys)


@pytest.mark.parametrize("command", ["run", "score", "data"])
def test_an_unknown_run(
    command: str, config: Path, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    line = error([command, "--config", str(config), "--run", ids[0] + "x"], capsys)
    assert f"Did you mean {ids[0]!r}?" in line


def test_an_unknown_data_key(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "not in this plan" in error(["data", "--config", str(config), "--key", "scenes-0"], capsys)


@pytest.mark.parametrize(("command", "before"), [("compare", "collect"), ("figures", "compare")])
@pytest.mark.usefixtures("collected")
def test_tables_that_are_not_there_yet(
    command: str, before: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in Path("results/tables").iterdir():
        path.unlink()
    assert f"run `amad-bench {before}` first" in error([command, "--config", str(config)], capsys)


@pytest.fixture
def collected(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tables of runs none of which has run."""
    assert main(["collect", "--config", str(config)]) == 0
    capsys.readouterr()


def test_collect_counts_failed_runs_and_skipped_combinations_apart(
    config: Path, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["collect", "--config", str(config)]) == 0
    captured = capsys.readouterr()
    counted = f"{len(ids)} runs, {len(ids)} without result, 0 scores; 5 combinations skipped\n"
    assert captured.out == counted
    assert "vlt5-vqa-scenes-h8to2-one_to_one: skipped: one_to_one compares" in captured.err


@pytest.mark.parametrize("command", ["compare", "figures", "paper"])
@pytest.mark.usefixtures("collected")
def test_tables_of_another_config_are_refused(
    command: str, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | {"seed": 1}))
    line = error([command, "--config", str(other)], capsys)
    assert "plan.json: the tables were collected for another config (or version)" in line
    assert f"run `amad-bench collect --config {other}` first" in line
    Path("results/plan.json").unlink()
    line = error([command, "--config", str(config)], capsys)
    assert f"nothing is collected yet; run `amad-bench collect --config {config}` first" in line


@pytest.mark.usefixtures("collected")
def test_comparing_plans_once(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = []
    monkeypatch.setattr(
        "amad_bench.plan.grid.expand", lambda asked: planned.append(expand(asked)) or planned[0]
    )
    assert main(["compare", "--config", str(config)]) == 0
    assert len(planned) == 1


@pytest.mark.usefixtures("collected")
def test_collecting_again_takes_away_what_was_made_from_the_older_tables(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "--config", str(config)]) == 0
    Path("results/figures").mkdir()
    Path("results/figures/losses.png").touch()
    capsys.readouterr()
    main(["collect", "--config", str(config)])
    capsys.readouterr()
    assert "run `amad-bench compare` first" in error(["figures", "--config", str(config)], capsys)
    assert not Path("results/figures/losses.png").exists()


@pytest.mark.usefixtures("collected")
def test_a_broken_table(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results/tables/results.parquet").write_text("no parquet")
    assert "results.parquet: no readable parquet file" in error(["figures", "--config", str(config)], capsys)


def test_status(config: Path, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    ids, teachers, students = list(plan.by_id), plan.runs[:5], plan.runs[5:]
    assert main(["status", "--config", str(config)]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert lines[0] == f"default: {len(ids)} planned, 0 done, 0 failed, {len(ids)} left"
    assert [line.split() for line in lines if line.startswith("teacher")] == [["teacher", *["0/1"] * 5]]
    for run in teachers:
        end_run(run, wall_seconds=600.0)
    end_run(students[0])  # 60 s: students are expected to take as long as students
    end_run(students[1], status="diverged")
    assert main(["status", "--config", str(config)]) == 0
    left = len(students) - 2
    assert capsys.readouterr().out.split("\n")[:2] == [
        f"default: {len(ids)} planned, 6 done, 1 failed (diverged 1), {left} left",
        f"[######..................]  28 %  about {left} min left, one run at a time",
    ]
    begin_run(students[2])
    with exclusive(begin_run(students[3]).path):
        assert main(["status", "--config", str(config)]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert lines[0].endswith(f", 1 running, {left - 1} left (1 interrupted)")
    assert lines[-2].split() == [students[3].id, "starting"]


def test_status_is_watched_until_nothing_is_left(
    config: Path, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    for run in plan.runs:
        end_run(run)
    assert main(["status", "--watch", "--config", str(config)]) == 0
    count = len(plan.runs)
    assert capsys.readouterr().out[7:] == f"{count} planned, {count} done, 0 failed, 0 left\n"


@pytest.fixture
def captioned(config: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[str]]:
    """A config that asks for METEOR, and its captioning runs, which are done; a caption's METEOR is 0.5."""
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | {"extra_metrics": ["METEOR"]}))
    runs = [run for run in expand(load_config(config)).runs if run.config.task == "captioning"]
    row = {"split": "test", "example_id": "1", "cluster_id": "1", "prediction": "a dog"}
    for run in runs:
        line = json.dumps(row | {"references": ["a dog"], "groups": {}})
        end_run(run).predictions.write_text(line + "\n")

    def meteor_scores(corpora: Any) -> Any:
        return ((0.5, [0.5] * len(corpus), [[0.0] * 23] * len(corpus)) for corpus in corpora)

    monkeypatch.setattr("amad_bench.scoring.meteor.meteor_scores", meteor_scores)
    return config, [run.id for run in runs]


def test_scores_of_one_config_outlive_those_of_another(
    captioned: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, ids = captioned
    assert main(["score", "--config", str(config)]) == 0
    assert capsys.readouterr().out == f"METEOR: {len(ids)} scores\n"
    raw = yaml.safe_load(config.read_text())
    raw["tasks"] = [entry for entry in raw["tasks"] if entry["task"] == "captioning"][:1]
    raw["replicates"] = 1
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(raw))
    assert main(["score", "--config", str(other)]) == 0
    (told, _) = capsys.readouterr()
    assert told != f"METEOR: {len(ids)} scores\n"  # its own only
    assert set(pd.read_parquet("results/extra_scores.parquet")["run_id"]) == set(ids)


def test_damaged_predictions_of_a_run_that_is_to_be_scored(
    captioned: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    config, ids = captioned
    Path(f"results/runs/{ids[0]}/predictions.jsonl").write_text('{"split": "test"}\n')
    line = error(["score", "--config", str(config)], capsys)
    assert ids[0] in line
    assert "predictions.jsonl: line 1: 'example_id' must be a text" in line


def test_a_run_with_a_damaged_status_is_left_and_not_scored(
    captioned: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    config, ids = captioned
    Path(f"results/runs/{ids[-1]}/status.json").write_text("[]")
    assert main(["score", "--config", str(config)]) == 0
    assert capsys.readouterr().out == f"METEOR: {len(ids) - 1} scores\n"


def test_clean_asks_before_it_removes(config: Path, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    kept = end_run(plan.runs[0])
    Path("results/runs/old-run-00000000").mkdir()
    assert main(["clean", "--config", str(config)]) == 0
    captured = capsys.readouterr()
    assert captured.out == "results/runs/old-run-00000000\n"
    assert "--yes" in captured.err
    assert Path("results/runs/old-run-00000000").is_dir()
    assert main(["clean", "--yes", "--config", str(config)]) == 0
    assert list(Path("results/runs").iterdir()) == [kept.path]


def test_clean_removes_outputs_of_teachers_that_nobody_reads(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = {run.config.outputs_key for run in expand(load_config(config)).runs} - {None}
    assert keys
    for name in (*keys, "teacher-of-old-00000000"):
        (Path("results/teacher_outputs") / name / "logits").mkdir(parents=True)
    damaged = Path("results/teacher_outputs") / min(keys) / "logits.damaged"
    damaged.mkdir()
    assert main(["clean", "--yes", "--config", str(config)]) == 0
    assert capsys.readouterr().out == f"results/teacher_outputs/teacher-of-old-00000000\n{damaged}\n"
    assert [path.name for path in damaged.parent.iterdir()] == ["logits"]
    assert {path.name for path in Path("results/teacher_outputs").iterdir()} == keys


def test_clean_keeps_runs_that_are_not_planned_only_for_want_of_data(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    raw = yaml.safe_load(config.read_text())
    raw["datasets"]["daquar"] = {}
    raw["models"]["vlt5"]["inputs"] |= {"boxes": "grid", "rows": 1, "columns": 1}
    raw["tasks"].append({**raw["tasks"][0], "dataset": "daquar"})
    config.write_text(yaml.safe_dump(raw))
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))
    Path("results/runs/a-run-of-daquar").mkdir(parents=True)
    line = error(["clean", "--yes", "--config", str(config)], capsys)
    assert "vlt5-vqa-daquar is not planned only for want of data" in line
    assert Path("results/runs/a-run-of-daquar").is_dir()


def test_clean_removes_killed_preparations(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left = Path("results/data/scenes-01234567/prepared/.images-1.0a.tmp")
    left.mkdir(parents=True)
    assert main(["clean", "--config", str(config)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{left}\n"
    assert captured.err == "1 killed preparations of data: `--yes` removes them\n"
    assert left.is_dir()
    assert main(["clean", "--yes", "--config", str(config)]) == 0
    assert not left.exists()
    assert left.parent.is_dir()


def spoilt(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(_path: Path) -> None:
        raise error

    monkeypatch.setattr("amad_bench.plan.config.load.load_config", fail)


def test_an_interruption_and_a_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spoilt(monkeypatch, KeyboardInterrupt())
    assert main(["plan"]) == 130
    assert capsys.readouterr().err == "amad-bench: interrupted\n"
    spoilt(monkeypatch, ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        main(["plan"])


def no_module(name: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    of_pandas = ImportError("`Import pyarrow` failed.")
    of_pandas.__cause__ = no_module("pyarrow")
    for missing, package in (
        (no_module("yaml"), "yaml"),
        (no_module("PIL.Image"), "PIL"),
        (of_pandas, "pyarrow"),
    ):
        spoilt(monkeypatch, missing)
        line = error(["plan"], capsys)
        assert f'no Python package {package}; `pip install "amad-bench[pipeline]"` installs it' in line


@pytest.mark.parametrize(
    "bug",
    [no_module("amad_bench.plam"), no_module("_bz2"), ImportError("cannot import name 'x'", name="numpy")],
)
def test_an_import_that_is_a_bug_stays_one(bug: ImportError, monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt(monkeypatch, bug)
    with pytest.raises(ImportError):
        main(["plan"])


def test_every_command_of_a_core_install_names_the_extra(tmp_path: Path) -> None:
    commands = [*COMMANDS, "doctor", "bench"]
    code = f"""
import sys

class CoreInstall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ("amad_bench", *sys.stdlib_module_names):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, CoreInstall())
from amad_bench.cli import main
more = {{"run": ["--run", "x"], "bench": ["data"], "verify": ["--write", "x"]}}
print([main([command, *more.get(command, [])]) for command in {commands}])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == f"{[2] * len(commands)}\n"
    lines = done.stderr.splitlines()
    assert len(lines) == len(commands)
    for line in lines:
        assert re.fullmatch(
            r'amad-bench: error: no Python package \w+; `pip install "amad-bench\[pipeline\]"` installs it',
            line,
        )


def test_an_older_python_is_refused_a_newer_one_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 13))
    line = error(["plan"], capsys)
    assert f"Python 3.11 or later is needed, {sys.executable} is 3.10.13" in line
    monkeypatch.setattr(sys, "version_info", (3, 15, 0))
    check_python()


@pytest.mark.parametrize("encoding", ["ascii:strict", "utf-8:strict"])
def test_a_path_outside_the_encoding_of_the_output(encoding: str, config: Path) -> None:
    of_latin_1 = b"sm\xf8rbr\xf8d.yaml".decode("utf-8", "surrogateescape")
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": encoding}
    program = [sys.executable, "-c", "from amad_bench.cli import main; raise SystemExit(main())"]
    for name in (of_latin_1, "smørbrød.yaml"):
        path = config.with_name(name)
        path.write_bytes(config.read_bytes())
        for command in ([], ["--json"]):
            done = subprocess.run(
                [*program, "plan", *command, "--config", path],
                capture_output=True,
                env=os.environ | environment,
            )
            assert done.returncode == 0, done.stderr
            assert not command or json.loads(done.stdout)["runs"]
        path.unlink()
        done = subprocess.run(
            [*program, "plan", "--config", path], capture_output=True, env=os.environ | environment
        )
        assert done.returncode == 2
        assert b"no such config file" in done.stderr
        assert done.stderr.count(b"\n") == 1


def test_a_reader_that_goes_away_is_no_error(config: Path) -> None:
    program = f"{sys.executable} -c 'from amad_bench.cli import main; main()'"
    command = f"{program} plan --json --config {config} | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout == "{"
    assert done.stderr == ""


def test_versions_that_were_never_tested_are_refused(
    monkeypatch: pytest.MonkeyPatch, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = metadata.version
    monkeypatch.setattr(metadata, "requires", lambda _name: ['pandas<4,>=2.2.3; extra == "pipeline"'])
    monkeypatch.setattr(metadata, "version", lambda name: "1.5.3" if name == "pandas" else version(name))
    check_versions.cache_clear()
    line = error(["plan", "--config", str(config)], capsys)
    assert line.startswith("amad-bench: error: pandas 1.5.3 is installed, amad-bench was tested with")


@pytest.mark.parametrize("arguments", [[], ["plann"], ["run"], ["run", "--run", "x", "--device", "tpu"]])
def test_wrong_usage_ends_with_code_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: amad-bench" in capsys.readouterr().err


def test_importing_the_command_line_is_light() -> None:
    code = "import sys, amad_bench.cli; print({'torch', 'pandas', 'pydantic', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_run_trains_on_the_device_that_was_asked_for(
    config: Path, ids: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[str, str]] = []

    def train(run: Any, device: str, _workers: int, **_: Any) -> str:
        calls.append((run.id, device))
        return "diverged"

    monkeypatch.setattr("amad_bench.training.run.train_run", train)

    def run(*more: str) -> int:
        return main(["run", "--config", str(config), "--run", ids[0], *more])

    assert run() == 0  # a scientific failure is a result
    assert run("--device", "cpu") == 0
    assert calls == [(ids[0], "auto"), (ids[0], "cpu")]
    assert capsys.readouterr().out == f"{ids[0]}: diverged\n" * 2


@pytest.mark.parametrize(
    ("code", "target", "says"),
    [
        (errno.EROFS, None, "results/x: Read-only file system; make it readable and writable"),
        (errno.ENOSPC, None, "results/x: No space left on device; free some space, then start again"),
        (errno.ENOSPC, "results/y", "results/y: No space left on device"),  # of a copy
    ],
)
def test_what_the_machine_refuses_is_one_line(
    code: int,
    target: str | None,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    config: Path,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code), "results/x", None, target)

    monkeypatch.setattr("amad_bench.plan.config.load.read_yaml", refuse)
    assert says in error(["plan", "--config", str(config)], capsys)


def test_an_error_of_the_system_that_is_a_bug_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, config: Path
) -> None:
    def fail(*_: object) -> None:
        raise FileExistsError(errno.EEXIST, "there", "results/x")

    monkeypatch.setattr("amad_bench.plan.config.load.read_yaml", fail)
    with pytest.raises(FileExistsError):
        main(["plan", "--config", str(config)])


@pytest.mark.parametrize("option", ["--threads=99999999999999999999", "--threads=0"])
def test_what_cannot_be_measured_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--threads: expected a number from 1 to 1,024, found" in error(["bench", "losses", option], capsys)


@pytest.mark.parametrize("command", ["data", "run", "score", "figures"])
@pytest.mark.parametrize(("given", "says"), [("--run=", "run '' is not in this plan"), ("--run=--", "--")])
def test_an_empty_id_is_no_order_for_everything(
    config: Path, command: str, given: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an unset variable of a shell leaves it."""
    try:
        code = main([command, "--config", str(config), given])
    except SystemExit as end:  # argparse's
        code = end.code
    assert code == 2
    assert says in capsys.readouterr().err.splitlines()[-1]
