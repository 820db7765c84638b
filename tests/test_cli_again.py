"""Commands on runs that have ended: run, failures, retry, clean; and what of their weights is kept."""

import json
import os
import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from amad_bench.analysis.collect import collect
from amad_bench.cli import main
from amad_bench.plan.config.load import load_config
from amad_bench.plan.extra_metrics import signature
from amad_bench.plan.grid import expand
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.runtime.locks import exclusive
from amad_bench.runtime.results import RESULTS
from tests.planned import TRAINING
from tests.run_folders import begin_run, content, end_run


@pytest.fixture
def config(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A teacher that starts from a pre-training, and a student of `ce` and one of `logit_kd`; METEOR."""
    raw = yaml.safe_load((repository / "configs/smoke.yaml").read_text())
    raw |= {"losses": [{"name": "ce"}, {"name": "logit_kd"}], "replicates": 1}
    raw["tasks"] = [entry for entry in raw["tasks"] if entry["family"] == "blip"][:1]
    raw["tasks"][0]["task"] = "captioning"
    raw["pretraining"] = {
        "teacher": ["text"],
        "student": ["none"],
        "training": {"blip": {"text": TRAINING}},
    }
    raw["extra_metrics"] = ["METEOR"]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


@pytest.fixture
def plan(config: Path) -> Plan:
    return expand(load_config(config))


@pytest.fixture
def runs(plan: Plan) -> dict[str, Run]:
    return {run.config.loss.name if run.kind == "student" else run.kind: run for run in plan.runs}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of runs that `run` trains; each ends as `done`."""
    found: list[str] = []

    def train(run: Run, _device: str, _workers: int, **_: object) -> str:
        found.append(run.id)
        end_run(run)
        return "done"

    monkeypatch.setattr("amad_bench.training.run.train_run", train)
    return found


def command(name: str, config: Path, *more: str) -> int:
    return main([name, "--config", str(config), *more])


def refused(capsys: pytest.CaptureFixture[str], name: str, config: Path, *more: str) -> list[str]:
    assert command(name, config, *more) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def meteor(run_ids: list[str], reasons: dict[str, str]) -> None:
    facts = {"sources": {"METEOR": dict.fromkeys(run_ids, "sha")}, "unavailable": {"METEOR": reasons}}
    facts |= {"signatures": {"METEOR": signature("METEOR")}}
    RESULTS.extra_facts.write_text(json.dumps(facts))
    RESULTS.extra_scores.touch()


def test_a_run_that_has_ended_is_not_touched(config, runs, trained, capsys) -> None:
    folder = end_run(runs["ce"])
    before = content(folder.path)
    assert command("run", config, "--run", runs["ce"].id) == 0
    assert trained == []
    assert content(folder.path) == before | {"ended": b""}
    out = capsys.readouterr().out
    assert out == f"{folder.id}: done, ended before; `amad-bench retry {folder.id}` plans it again\n"


def test_a_run_that_is_left_is_trained_and_marked(config, runs, trained) -> None:
    begin_run(runs["ce"])
    assert command("run", config, "--run", runs["ce"].id) == 0
    assert trained == [runs["ce"].id]
    assert RESULTS.run(runs["ce"].id).ended.exists()


def test_a_teacher_without_weights_is_trained_again_where_a_student_needs_them(config, runs, trained) -> None:
    end_run(runs["pretrain"])
    folder = end_run(runs["teacher"])
    folder.checkpoint.unlink()
    assert command("run", config, "--run", folder.id) == 0
    assert trained == [folder.id]


def test_who_waited_for_another_process_finds_its_run_ended(config, runs, trained, capsys) -> None:
    """A killed Snakemake can leave a child behind that still trains the run."""
    with ExitStack() as held:
        held.enter_context(exclusive(begin_run(runs["ce"]).path))

        def end() -> None:
            end_run(runs["ce"])
            held.close()

        threading.Timer(0.5, end).start()
        assert command("run", config, "--run", runs["ce"].id) == 0
    assert trained == []
    assert "ended before" in capsys.readouterr().out


def test_who_is_stopped_while_it_waits_ends_at_once(config, runs, trained, capsys) -> None:
    with exclusive(begin_run(runs["ce"]).path):
        threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGTERM]).start()
        assert command("run", config, "--run", runs["ce"].id) == 143
    assert trained == []
    assert "interrupted (SIGTERM)" in capsys.readouterr().err


def test_who_began_at_the_same_time_is_told_when_it_has_waited(config, runs, monkeypatch) -> None:
    """Between the first look and the lock a process loads torch, which takes seconds."""
    told: list[str | None] = []

    def train(run: Run, *_: object, ended: Any, **__: object) -> str:
        told.append(ended())
        end_run(run)
        with exclusive(RESULTS.run(run.id).path):  # as it asks
            told.append(ended())
        return "done"

    monkeypatch.setattr("amad_bench.training.run.train_run", train)
    assert command("run", config, "--run", runs["ce"].id) == 0
    assert told == [None, "done"]


@pytest.mark.parametrize(
    ("status", "code"), [("done", 0), ("metric_unavailable", 1), ("diverged", 1), ("out_of_memory", 1)]
)
def test_strict_makes_a_failed_run_an_error(config, runs, trained, status, code) -> None:
    end_run(runs["ce"], status=status)
    assert command("run", config, "--run", runs["ce"].id) == 0
    assert command("run", config, "--run", runs["ce"].id, "--strict") == code
    assert trained == []


def test_failures_say_why_with_the_logs_last_lines(config, runs, capsys) -> None:
    end_run(runs["pretrain"])
    log = end_run(runs["teacher"], status="diverged", reason="loss is NaN", log_tail=["RunFailed"]).log
    log.write_text("".join(f"line {number}\n" for number in range(9)) + "10 %\r50 %\r100 %\n")
    begin_run(runs["ce"]).log.write_text("Traceback\nZeroDivisionError: a bug\n")
    assert command("failures", config) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{runs['teacher'].id}: diverged: loss is NaN",
        *("    RunFailed", "    line 5", "    line 6", "    line 7", "    line 8", "    100 %"),
        f"{runs['ce'].id}: interrupted: started, never finished",
        *("    Traceback", "    ZeroDivisionError: a bug"),
        "2 of 4 runs without result (diverged 1, interrupted 1)",
    ]
    assert command("failures", config, "--strict") == 1


def test_no_failures(config, plan, runs, capsys) -> None:
    assert command("failures", config, "--strict") == 0  # nothing has run, so nothing has failed
    for run in plan.runs:
        end_run(run)
    students = [runs[name].id for name in ("teacher", "ce", "logit_kd")]
    meteor(students, {})
    capsys.readouterr()
    assert command("failures", config, "--strict") == 0
    assert capsys.readouterr().out == "0 of 4 runs without result\n"


def test_an_extra_metric_that_failed_is_a_failure_and_one_that_is_to_come_is_none(
    config, plan, runs, capsys
) -> None:
    for run in plan.runs:
        end_run(run)
    assert command("failures", config, "--strict") == 0
    assert "METEOR: waiting: not scored yet (runs " in capsys.readouterr().out
    scored = [runs[name].id for name in ("teacher", "ce", "logit_kd")]
    meteor(scored, {runs["ce"].id: "no Java"})
    assert command("failures", config, "--strict") == 1
    out = capsys.readouterr().out
    assert f"METEOR: metric_unavailable: no Java (run {runs['ce'].id})\n" in out


def test_retry_plans_again_what_failed_and_what_failed_for_it(config, runs, capsys) -> None:
    end_run(runs["pretrain"])
    teacher = end_run(runs["teacher"], status="diverged", reason="loss is NaN")
    teacher.log.write_text("the log\n")
    teacher.ended.touch()
    end_run(runs["ce"])
    student = end_run(runs["logit_kd"], status="teacher_failed")
    assert command("retry", config, teacher.id) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{teacher.id}: planned again (was diverged)",
        f"{student.id}: planned again (was teacher_failed)",
        "2 of 4 runs are left; `snakemake --cores all` goes on",
    ]
    assert content(teacher.path) == {"log.txt": b"the log\n"}
    assert command("retry", config, "--status", "diverged") == 0
    assert capsys.readouterr().out.splitlines() == ["2 of 4 runs are left; `snakemake --cores all` goes on"]


def test_retry_by_status(config, runs, capsys) -> None:
    end_run(runs["pretrain"])
    end_run(runs["teacher"])
    end_run(runs["ce"], status="out_of_memory")
    end_run(runs["logit_kd"], status="diverged")
    assert command("retry", config, "--status", "diverged", "out_of_memory") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("2 of 4 runs are left")


@pytest.mark.parametrize("kept", [True, False])
def test_retry_of_what_lacks_a_metric_keeps_its_training(config, runs, capsys, kept) -> None:
    """As long as its weights were kept."""
    end_run(runs["pretrain"])
    end_run(runs["teacher"])
    folder = end_run(runs["ce"], status="metric_unavailable", steps=2)
    folder.checkpoint.write_bytes(b"weights")
    if not kept:
        folder.checkpoint.unlink()
    assert command("retry", config, "--status", "metric_unavailable") == 0
    assert f"{folder.id}: planned again (was metric_unavailable)\n" in capsys.readouterr().out
    there = {"run.json", "steps.jsonl", "model.safetensors", "checkpoints/trained.json"}
    assert content(folder.path).keys() == (there if kept else set())


def test_retry_of_a_metric(config, plan, runs, capsys) -> None:
    for run in plan.runs:
        end_run(run)
    meteor([runs[name].id for name in ("teacher", "ce", "logit_kd")], {runs["ce"].id: "no Java"})
    RESULTS.extra_ended.touch()
    assert command("retry", config, "--status", "metric_unavailable") == 0
    assert "METEOR: tried again for 1 runs\n" in capsys.readouterr().out
    assert not RESULTS.extra_ended.exists()


def test_what_cannot_be_tried_again_has_a_line_each_and_nothing_is_removed(config, runs, capsys) -> None:
    failed = end_run(runs["ce"], status="diverged")
    with exclusive(begin_run(runs["teacher"]).path):
        asked = (failed.id, f"{failed.id}x", runs["teacher"].id, "--status", "divergd")
        lines = refused(capsys, "retry", config, *asked)
    assert len(lines) == 3
    assert "--status 'divergd': expected some of diverged, out_of_memory" in lines[0]
    assert "Did you mean 'diverged'?" in lines[0]
    assert f"Did you mean {failed.id!r}?" in lines[1]
    assert "is running" in lines[2]
    assert failed.status.exists()
    (line,) = refused(capsys, "retry", config)
    assert "no run is named" in line


def test_clean_lists_the_checkpoints_of_runs_that_have_ended(config, runs, capsys) -> None:
    for name in ("ce", "logit_kd"):
        (RESULTS.run(runs[name].id).checkpoints).mkdir(parents=True)
    end_run(runs["ce"])
    begin_run(runs["logit_kd"])
    assert command("clean", config) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{RESULTS.run(runs['ce'].id).checkpoints}\n"
    assert captured.err == "1 checkpoints of runs that have ended: `--yes` removes them\n"
    assert command("clean", config, "--yes") == 0
    assert not RESULTS.run(runs["ce"].id).checkpoints.exists()
    assert RESULTS.run(runs["logit_kd"].id).checkpoints.exists()
    capsys.readouterr()
    assert command("clean", config) == 0
    assert capsys.readouterr().err == "nothing to clean\n"


def test_clean_leaves_what_another_process_works_in(config, capsys) -> None:
    """A run of another config, say, or a teacher's outputs that are being stored for its students."""
    at_work = [RESULTS.runs / "of-another-config", RESULTS.outputs("of-another-config")]
    idle = RESULTS.runs / "of-an-older-config"
    for folder in (*at_work, idle):
        folder.mkdir(parents=True)
    with exclusive(at_work[0]), exclusive(at_work[1]):
        assert command("clean", config, "--yes") == 0
    assert capsys.readouterr().out == f"{idle}\n"
    assert all(folder.exists() for folder in at_work)


def test_clean_lists_outputs_that_were_set_aside(config, capsys) -> None:
    aside = RESULTS.outputs("key") / "logits.damaged"
    aside.mkdir(parents=True)
    with exclusive(aside.parent):  # so that not all of it is listed
        assert command("clean", config) == 0
    assert capsys.readouterr().out == f"{aside}\n"


@pytest.fixture
def keeping(config: Path) -> Any:
    def keep(what: str) -> Path:
        config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | {"keep_weights": what}))
        return config

    return keep


@pytest.mark.parametrize(
    ("keep", "kept", "at_last"),
    [
        ("all", {"pretrain", "teacher", "ce", "logit_kd"}, {"pretrain", "teacher", "ce", "logit_kd"}),
        ("teachers", {"pretrain", "teacher"}, {"pretrain", "teacher"}),
        ("none", {"teacher"}, set()),
    ],
)
def test_weights_are_kept_as_the_config_says(config, runs, trained, keeping, keep, kept, at_last) -> None:
    keeping(keep)
    assert expand(load_config(config)).runs == list(runs.values())  # it is no part of any identity

    def there() -> set[str]:
        return {name for name, run in runs.items() if RESULTS.run(run.id).checkpoint.exists()}

    for name in ("pretrain", "teacher", "ce"):
        assert command("run", config, "--run", runs[name].id) == 0
    assert there() == kept - {"logit_kd"}
    assert command("run", config, "--run", runs["logit_kd"].id) == 0
    assert there() == at_last
    assert command("run", config, "--run", runs["logit_kd"].id) == 0  # and nothing is planned again
    assert len(trained) == 4


def test_collecting_drops_weights_too(config, plan, runs, keeping, monkeypatch) -> None:
    """As when a run was killed just before it dropped its own."""
    nothing = collect(plan, Path("elsewhere"))  # these files hold no numbers
    monkeypatch.setattr("amad_bench.analysis.collect.collect", lambda *_: nothing)
    for run in plan.runs:
        end_run(run)
    RESULTS.run(runs["ce"].id).loss_parameters.touch()
    diverged = end_run(runs["logit_kd"], status="diverged")
    diverged.checkpoint.touch()  # the last good ones, which may show why
    keeping("teachers")
    assert command("collect", config) == 0
    kept = [path.parent.name for path in RESULTS.runs.glob("*/*.safetensors")]
    assert sorted(kept) == sorted(runs[name].id for name in ("pretrain", "teacher", "logit_kd"))


@pytest.mark.parametrize("name", ["export", "predict", "score"])
def test_what_needs_weights_that_were_not_kept_says_so(config, runs, capsys, name) -> None:
    folder = end_run(runs["ce"])
    folder.checkpoint.unlink()
    more = {
        "export": [folder.id, "out"],
        "predict": [folder.id, "--questions", "q", "--photos", "p", "--out", "o"],
        "score": ["--run", folder.id],
    }[name]
    (line,) = refused(capsys, name, config, *more)
    assert f"{folder.checkpoint}: these weights were not kept (keep_weights)" in line
    assert f"`amad-bench retry {folder.id}`" in line
