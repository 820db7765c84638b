"""collect --from: the same id is the same run; the first copy stays, and what differs is said."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from amad_bench.cli import main
from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import expand
from amad_bench.plan.plan import Plan
from amad_bench.plan.standing import standing
from amad_bench.runtime.locks import exclusive
from amad_bench.runtime.results import RESULTS, ResultsFolder
from amad_bench.runtime.run_folder import copying
from tests.analysis.conftest import make_scores, write_run
from tests.run_folders import begin_run, content


@pytest.fixture
def config(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config of one task, two losses and two seeds (five runs), in an empty working directory."""
    raw = yaml.safe_load((repository / "configs/default.yaml").read_text())
    raw["losses"] = [{"name": "ce"}, {"name": "logit_kd"}]
    raw["tasks"] = [task for task in raw["tasks"] if (task["family"], task["task"]) == ("vlt5", "vqa")]
    raw |= {"replicates": 2, "teacher_per": "sweep"}
    raw.pop("scenes_per", None)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


@pytest.fixture
def plan(config: Path) -> Plan:
    return expand(load_config(config))


def merge(config: Path, *sources: str) -> int:
    return main(["collect", "--config", str(config), "--from", *sources])


def states(plan: Plan) -> list[str]:
    return [own.state for own in standing(plan, RESULTS).values()]


def merged() -> pd.DataFrame:
    return pd.read_parquet("results/tables/merged.parquet")


def test_runs_of_two_machines_become_one_set(config, plan, capsys):
    teacher, *students = plan.runs
    for place, runs in {"a": [teacher, *students[:2]], "b": [teacher, *students[2:]]}.items():
        for run in runs:
            write_run(Path(place), run)
    assert merge(config, "a", "b") == 0
    assert states(plan) == ["done"] * 5
    assert capsys.readouterr().out.splitlines()[:2] == [
        "a: 3 of 3 ended runs taken",
        "b: 2 of 3 ended runs taken",
    ]
    for run in plan.runs:
        source = Path("b" if run in students[2:] else "a", "runs", run.id)
        assert content(RESULTS.run(run.id).path) == content(source) | {"ended": b""}
    assert merged().empty
    assert len(pd.read_parquet("results/tables/scores.parquet")["run_id"].unique()) == 5
    assert main(["compare", "--config", str(config)]) == 0


def test_again_it_does_nothing(config, plan):
    for run in plan.runs:
        write_run(Path("a"), run)
    merge(config, "a")
    before = {path: path.stat().st_mtime_ns for path in RESULTS.runs.rglob("*")}
    assert merge(config, "a") == 0
    assert {path: path.stat().st_mtime_ns for path in RESULTS.runs.rglob("*")} == before


def other_scores(place: Path, run, changed: int = 3) -> None:
    """A copy whose first test examples were answered otherwise."""
    path = write_run(place, run) / "scores.parquet"
    scores = make_scores(run)
    first = scores.index[(scores["split"] == "test") & (scores["metric"] == "vqa_accuracy")][:changed]
    scores.loc[first, "value"] = 1 - scores.loc[first, "value"]
    scores.to_parquet(path, index=False)


@pytest.mark.trap("stat-66")
def test_the_first_copy_stays_and_the_difference_is_a_line_and_a_row(config, plan, capsys):
    teacher, student, *_ = plan.runs
    write_run(Path("results"), teacher)
    other_scores(Path("a"), teacher)
    write_run(Path("a"), student)
    other_scores(Path("b"), student, changed=5)
    before = content(RESULTS.run(teacher.id).path)
    merge(config, "a", "b")
    assert content(RESULTS.run(teacher.id).path) == before
    assert content(RESULTS.run(student.id).path) == content(Path("a/runs") / student.id) | {"ended": b""}
    rows = merged().set_index("run_id")
    assert rows["n_different"].to_dict() == {teacher.id: 3, student.id: 5}
    assert rows["kept"].to_dict() == {teacher.id: "results", student.id: "a"}
    scores = make_scores(teacher).query("split == 'test' and metric == 'vqa_accuracy'")["value"]
    assert rows.loc[teacher.id, "kept_score"] == pytest.approx(100 * scores.mean())
    flipped = scores.mean() + (1 - 2 * scores[:3]).sum() / len(scores)
    assert rows.loc[teacher.id, "other_score"] == pytest.approx(100 * flipped)
    lines = [line for line in capsys.readouterr().err.splitlines() if "differs" in line]
    assert lines[0].startswith(f"{teacher.id}: results stays; a differs: vqa_accuracy on test ")
    assert "(3 of 240 examples)" in lines[0]


def test_whom_another_copy_of_a_teacher_taught_is_counted(config, plan, capsys):
    teacher, *students = plan.runs
    taught = [run for run in students if run.prerequisites]
    write_run(Path("a"), teacher)
    other_scores(Path("b"), teacher)
    for run in students:
        write_run(Path("b"), run)
    merge(config, "a", "b")
    assert merged().set_index("run_id").loc[teacher.id, "n_taught"] == len(taught) == 2
    assert "; 2 runs of these results were taught by it" in capsys.readouterr().err


@pytest.mark.trap("stat-67")
@pytest.mark.parametrize(
    ("first", "second", "stays"),
    [
        ("diverged", "done", "diverged"),  # what the method did; else the lucky copy would be chosen
        ("done", "diverged", "done"),
        ("out_of_memory", "done", "done"),
        ("out_of_memory", "diverged", "diverged"),
        ("metric_unavailable", "done", "done"),
        ("metric_unavailable", "diverged", "metric_unavailable"),
        ("teacher_failed", "done", "done"),
    ],
)
def test_which_outcome_stays(config, plan, first, second, stays):
    teacher, *students = plan.runs
    run = next(run for run in students if run.prerequisites)
    write_run(Path("results"), teacher)
    for place, status in (("results", first), ("a", second)):
        write_run(Path(place), run, status=status, reason="" if status == "done" else "so it was")
    assert merge(config, "a") == 0
    assert standing(plan, RESULTS)[run.id].state == stays
    row, gone = merged().set_index("run_id").loc[[run.id]].iloc[0], second if stays == first else first
    assert (row["what"], row["kept_status"], row["other_status"]) == ("status", stays, gone)
    assert row["why"] == ("" if stays == first else f"{first} in results is no outcome of the method")


def test_a_student_is_not_taken_where_its_teachers_failure_stays(config, plan, capsys):
    teacher, *students = plan.runs
    taught = [run for run in students if run.prerequisites]
    write_run(Path("results"), teacher, status="diverged", reason="loss is NaN")
    for run in plan.runs:
        write_run(Path("a"), run)
    merge(config, "a")
    assert not any(RESULTS.run(run.id).path.exists() for run in taught)
    assert f"{taught[0].id}: not taken from a, since {teacher.id} stays as failed" in capsys.readouterr().err


def test_what_is_half_done_gives_way_and_what_runs_does_not(config, plan, capsys):
    half, running, *_ = plan.runs
    for run in (half, running):
        write_run(Path("a"), run)
        checkpoints = begin_run(run).checkpoints
        checkpoints.mkdir()
        (checkpoints / "step.safetensors").touch()
    with exclusive(RESULTS.run(running.id).path):
        merge(config, "a")
        assert states(plan)[:2] == ["done", "running"]
    assert not RESULTS.run(half.id).checkpoints.exists()
    assert f"{running.id}: running here; a has ended it and is left alone" in capsys.readouterr().err


def test_a_copy_that_is_killed_has_not_ended_and_goes_on(config, plan, monkeypatch):
    for run in plan.runs:
        write_run(Path("a"), run)
    killed = plan.runs[1].id
    copyfile = shutil.copyfile

    def until_status(source: Path, target: Path) -> None:
        if source.name == "status.json" and killed in str(source):
            raise KeyboardInterrupt
        copyfile(source, target)

    monkeypatch.setattr(copying.shutil, "copyfile", until_status)
    assert merge(config, "a") == 130
    assert states(plan) == ["done", "interrupted", "waiting", "waiting", "waiting"]
    monkeypatch.setattr(copying.shutil, "copyfile", copyfile)
    assert merge(config, "a") == 0
    assert states(plan) == ["done"] * 5
    assert not list(RESULTS.runs.rglob("*.tmp"))


def test_checkpoints_and_unkept_weights_stay_behind(config, plan):
    raw = yaml.safe_load(config.read_text()) | {"keep_weights": "teachers"}
    config.write_text(yaml.safe_dump(raw))
    for run in plan.runs:
        folder = write_run(Path("a"), run)
        (folder / "checkpoints").mkdir()
        for name in ("checkpoints/x.safetensors", "live.json", ".scores.parquet.1.tmp"):
            (folder / name).touch()
        (folder / "tensorboard").mkdir()
        (folder / "tensorboard/events").write_text("e")
    merge(config, "a")
    for run in plan.runs:
        found = content(RESULTS.run(run.id).path)
        assert ("model.safetensors" in found) == (run.kind == "teacher")
        assert found["tensorboard/events"] == b"e"
        assert not any("checkpoints" in name or "live" in name or "tmp" in name for name in found)


def error(config: Path, capsys, *sources: str) -> str:
    capsys.readouterr()
    assert merge(config, *sources) == 2
    captured = capsys.readouterr().err
    assert captured.startswith("amad-bench: error: ")
    assert captured.count("\n") == 1
    assert not RESULTS.runs.exists()
    return captured


def test_what_is_no_results_folder_is_refused(config, plan, capsys):
    Path("empty").mkdir()
    write_run(Path("a"), plan.runs[0])
    assert "absent: no such folder;" in error(config, capsys, "a", "absent")
    assert "empty: a folder without runs/;" in error(config, capsys, "a", "empty")
    assert "a: the same folder as a; name each once" in error(config, capsys, "a", "a")
    assert "a/../a: the same folder as a;" in error(config, capsys, "a", "./a/../a")
    Path("results").symlink_to("a")
    assert merge(config, "a") == 2
    assert "a: the same folder as these results (results)" in capsys.readouterr().err


def test_other_versions_are_refused(config, plan, capsys):
    run = plan.runs[1]
    versions = run.config.versions | {"training": 0}
    folder = write_run(Path("a"), run, versions=versions)
    folder.rename(folder.with_name(f"{run.id[:-8]}00000000"))
    line = error(config, capsys, "a")
    assert (
        f"a: 1 of its runs were made by other versions (training 0, here {run.config.versions['training']})"
        in line
    )
    write_run(Path("a"), run)  # it was trained again since then, and the old one is a leftover
    assert merge(config, "a") == 0
    assert "1 of 1 ended runs taken, 1 of other configs" in capsys.readouterr().out


def test_mixed_signatures_are_refused_before_anything_is_copied(config, plan, capsys):
    for place, run, signature in zip("ab", plan.runs[1:3], ("one", "two"), strict=True):
        path = write_run(Path(place), run) / "status.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"signatures": {"BLEU": signature}}))
    assert "is two, that of run" in error(config, capsys, "a", "b")


def test_broken_and_foreign_folders_are_a_line_each(config, plan, capsys):
    broken, cut, other, fine, missing = plan.runs
    for run in (broken, cut, fine, missing):
        write_run(Path("a"), run)
    write_run(Path("a"), other, precision="bf16")
    (Path("a/runs") / broken.id / "status.json").write_text("{")
    scores = Path("a/runs") / cut.id / "scores.parquet"
    scores.write_bytes(scores.read_bytes()[:100])
    (Path("a/runs") / missing.id / "predictions.jsonl").unlink()
    Path("a/runs/notes").mkdir()
    assert merge(config, "a") == 0
    captured = capsys.readouterr()
    assert "a: 1 of 1 ended runs taken, 4 broken, 1 of other configs" in captured.out
    for run, what in (
        (broken, "status.json: broken JSON"),
        (cut, "scores.parquet: no readable parquet file"),
        (other, "belongs to another config (precision is 'bf16'"),
        (missing, "predictions.jsonl is missing"),
    ):
        (line,) = [line for line in captured.err.splitlines() if run.id in line and "never" not in line]
        assert what in line
    assert [run.id for run in plan.runs if RESULTS.run(run.id).path.exists()] == [fine.id]


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"value": float("nan")}, "has a score that is no number"),
        ({"cluster_id": None}, "has a score without a cluster"),
        ({"statistics": 1.0}, "rows of run"),
    ],
)
def test_scores_that_are_none_are_not_taken(config, plan, capsys, changed, what):
    run = plan.runs[0]
    for folder in ("a", "b"):
        write_run(Path(folder), run)
    path = Path("a/runs") / run.id / "scores.parquet"
    pd.read_parquet(path).assign(**changed).to_parquet(path, index=False)
    assert merge(config, "a", "b") == 0
    captured = capsys.readouterr()
    assert "a: 0 of 0 ended runs taken, 1 broken" in captured.out
    assert "b: 1 of 1 ended runs taken" in captured.out
    (line,) = [line for line in captured.err.splitlines() if line.startswith("a/")]
    assert run.id in line
    assert what in line


def test_what_a_source_has_not_ended_is_taken_from_the_next(config, plan):
    run = plan.runs[0]
    begin_run(run, ResultsFolder(Path("a")))
    write_run(Path("b"), run)
    merge(config, "a", "b")
    assert states(plan)[0] == "done"
    assert merged().empty
