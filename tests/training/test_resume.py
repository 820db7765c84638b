"""Runs that are interrupted and go on: to the bit what they are undisturbed."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from amad_bench.data import prefetch
from amad_bench.data.tasks import batches as task_batches
from amad_bench.plan.run import Run
from amad_bench.runtime.files import read_json
from amad_bench.runtime.interruption import Interrupted, interruptible
from amad_bench.runtime.results import RESULTS
from amad_bench.training import run as run_module
from amad_bench.training.checkpoints import Checkpoints
from amad_bench.training.optim import Updates
from amad_bench.training.run import train_run
from tests.run_folders import content
from tests.training.conftest import pick, run_dir
from tests.training.test_every_loss import IN_CHUNKS, LINES

MADE = ("steps.jsonl", "model.safetensors", "loss.safetensors", "predictions.jsonl", "scores.parquet")


def made(run: Run) -> dict[str, bytes]:
    """The files that hold results."""
    paths = [run_dir(run.id) / name for name in MADE]
    return {path.name: path.read_bytes() for path in paths if path.exists()}


def signal_at(monkeypatch: pytest.MonkeyPatch, step: int, number: int = signal.SIGTERM) -> Callable[[], None]:
    """A signal comes in the middle of that step, counted from now; returns what takes this back."""
    update, seen = Updates.finish, []

    def interrupted(self: Updates) -> torch.Tensor:
        seen.append(self)
        if len(seen) == step:
            os.kill(os.getpid(), number)
        return update(self)

    monkeypatch.setattr(Updates, "finish", interrupted)
    return lambda: monkeypatch.setattr(Updates, "finish", update)


def interrupted(run: Run, monkeypatch: pytest.MonkeyPatch, step: int, number: int = signal.SIGTERM) -> None:
    undo = signal_at(monkeypatch, step, number)
    with pytest.raises(Interrupted) as caught, interruptible():
        train_run(run, "cpu")
    assert caught.value.number == number
    assert not (run_dir(run.id) / "status.json").exists()
    undo()


def chain(plan, family: str, task: str, label: str) -> list[Run]:
    """The run, behind those that it needs."""
    run = pick(plan, family, task, label)
    return [*(plan.run(needed) for needed in run.prerequisites), run]


CASES = [
    ("vlt5", "vqa", "teacher"),  # answers are drawn, dropout
    ("vlt5", "translation", "amad_kl"),  # alignments are logged
    ("blip", "vqa", "amad_projected"),  # parameters of the loss
    ("vlt5", "vqa", "a2d"),
    pytest.param("vlt5", "vqa", "amad_token-rows2", marks=pytest.mark.slow),  # rows are drawn
    pytest.param("blip", "vqa", "amad_token-rows2", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("family", "task", "label"), CASES)
def test_interrupted_twice_a_run_ends_as_it_would_have(tiny_plan, tmp_path, monkeypatch, family, task, label):
    plan = tiny_plan(more_losses="".join(LINES[name] for name in ("amad_projected", "a2d", *IN_CHUNKS)))
    *needed, run = chain(plan, family, task, label)
    results = []
    for name in ("undisturbed", "interrupted"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        for other in needed:
            train_run(other, "cpu")
        if name == "interrupted":
            interrupted(run, monkeypatch, 2)  # before the first validation, which follows step 3
            interrupted(run, monkeypatch, 2, signal.SIGINT)  # after step 4, and after it
        assert train_run(run, "cpu") == "done"
        results.append((made(run), read_json(run_dir(run.id) / "status.json")))
    (expected, undisturbed), (found, status) = results
    assert expected == found
    assert {"steps.jsonl", "model.safetensors", "predictions.jsonl", "scores.parquet"} <= expected.keys()
    assert (undisturbed["continued"], status["continued"]) == (0, 2)
    assert {key: status[key] for key in ("best_step", "steps", "extra_params", "head_map")} == {
        key: undisturbed[key] for key in ("best_step", "steps", "extra_params", "head_map")
    }
    assert not (run_dir(run.id) / "checkpoints").exists()


@pytest.mark.parametrize(("family", "condition"), [("vlt5", "text"), ("vlt5", "vl"), ("blip", "vl")])
def test_so_does_a_pretraining(tiny_plan, tmp_path, monkeypatch, family, condition):
    plan = tiny_plan(condition=condition, momentum=condition == "vl")
    source = chain(plan, family, "vqa", "teacher")[0]
    results = []
    for name in ("undisturbed", "interrupted"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        if name == "interrupted":
            interrupted(source, monkeypatch, 1)
            interrupted(source, monkeypatch, 2)
        assert train_run(source, "cpu") == "done"
        results.append(made(source))
    assert results[0] == results[1]
    assert results[0].keys() == {"steps.jsonl", "model.safetensors"}


@pytest.mark.parametrize("kind", ["teacher", "pretrain"])
def test_so_does_one_whose_batches_are_made_ahead(tiny_plan, tmp_path, monkeypatch, kind):
    """What a thread drew for the next step is not yet drawn for the checkpoint: answers, masked words."""
    plan = tiny_plan(condition="none" if kind == "teacher" else "vl")
    run, ahead = chain(plan, "vlt5", "vqa", "teacher")[0], []
    draw = task_batches.draw_targets

    def visibly(split, rows, generator):
        """Questions of scenes have one answer each: what is drawn would not be seen."""
        target_ids_BT, weight_B = draw(split, rows, generator)
        return target_ids_BT, weight_B * np.float32(generator.random())

    monkeypatch.setattr(task_batches, "draw_targets", visibly)
    results = []
    for name in ("undisturbed", "interrupted"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        if name == "interrupted":
            monkeypatch.setattr(prefetch, "helps", lambda device: ahead.append(device) or True)
            interrupted(run, monkeypatch, 1)
            interrupted(run, monkeypatch, 2)
            assert prefetch.THREAD not in [thread.name for thread in threading.enumerate()]
        assert train_run(run, "cpu") == "done"
        results.append(made(run))
    assert ahead
    assert results[0] == results[1]


def test_interrupted_while_it_predicts_a_run_does_not_train_again(tiny_plan, tmp_path, monkeypatch):
    run = pick(tiny_plan(), "vlt5", "vqa", "teacher")
    results = []
    predict = run_module.predict_and_score

    def ended(*_):
        raise Interrupted(signal.SIGTERM)

    for name in ("undisturbed", "interrupted"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        if name == "interrupted":
            monkeypatch.setattr(run_module, "predict_and_score", ended)
            with pytest.raises(Interrupted):
                train_run(run, "cpu")
            monkeypatch.setattr(run_module, "predict_and_score", predict)
            monkeypatch.setattr(run_module, "_train", None)  # not called
        assert train_run(run, "cpu") == "done"
        results.append(made(run))
    assert results[0] == results[1]
    assert read_json(run_dir(run.id) / "status.json")["continued"] == 1


def test_what_is_no_part_of_this_run_is_not_gone_on_from(tiny_plan, monkeypatch):
    """A folder of another config, or one that has ended, is begun anew."""
    run = pick(tiny_plan(), "vlt5", "vqa", "teacher")
    interrupted(run, monkeypatch, 2)
    record = run_dir(run.id) / "run.json"
    record.write_text(record.read_text().replace('"steps": 6', '"steps": 7'))
    assert train_run(run, "cpu") == "done"
    assert read_json(run_dir(run.id) / "status.json")["continued"] == 0


def test_a_broken_checkpoint_costs_the_steps_since_the_one_before(tiny_plan, tmp_path, monkeypatch, capsys):
    run = pick(tiny_plan(), "vlt5", "vqa", "teacher")
    (tmp_path / "undisturbed").mkdir()
    monkeypatch.chdir(tmp_path / "undisturbed")
    train_run(run, "cpu")
    expected = made(run)
    (tmp_path / "broken").mkdir()
    monkeypatch.chdir(tmp_path / "broken")
    interrupted(run, monkeypatch, 2)
    interrupted(run, monkeypatch, 2)
    newest = run_dir(run.id) / "checkpoints/000000004.safetensors"
    newest.write_bytes(newest.read_bytes()[:100])
    capsys.readouterr()
    train_run(run, "cpu")
    assert f"{newest}: missing, cut short or changed" in capsys.readouterr().err
    assert made(run) == expected


@pytest.mark.parametrize(("label", "steps"), [("teacher", 6), ("pretrain", 4)])
def test_interrupted_in_its_last_step_a_run_has_none_left(tiny_plan, tmp_path, monkeypatch, label, steps):
    """A validation follows that step; then the checkpoint is written."""
    plan = tiny_plan(condition="none" if label == "teacher" else "text")
    run = chain(plan, "vlt5", "vqa", "teacher")[0]
    assert run.kind == label
    results = []
    for name in ("undisturbed", "interrupted"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        if name == "interrupted":
            interrupted(run, monkeypatch, steps)
            undo = signal_at(monkeypatch, 1)  # which never comes
        assert train_run(run, "cpu") == "done"
        results.append(made(run))
    undo()
    assert results[0] == results[1]


def test_what_killed_processes_were_writing_goes(tiny_plan, monkeypatch):
    run = pick(tiny_plan(), "vlt5", "vqa", "teacher")
    interrupted(run, monkeypatch, 2)
    folder = run_dir(run.id)
    halves = [folder / ".model.safetensors.0.tmp", folder / "checkpoints/.000000004.safetensors.0.tmp"]
    for path in [*halves, folder / "ended"]:  # this one, when somebody has removed status.json alone
        path.touch()
    interrupted(run, monkeypatch, 2)
    assert not any(path.exists() for path in halves)
    assert not (folder / "ended").exists()


def test_killed_while_it_is_cleared_a_folder_holds_no_checkpoint_without_its_log(tiny_plan, monkeypatch):
    run = pick(tiny_plan(), "vlt5", "vqa", "teacher")
    interrupted(run, monkeypatch, 2)
    folder, unlink = RESULTS.run(run.id), Path.unlink
    folder.status.write_text('{"status": "diverged"}')  # killed before its checkpoints were removed

    def killed(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok)
        if path.name == "steps.jsonl":
            raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr(Path, "unlink", killed)
    with pytest.raises(Interrupted):
        folder.clear()
    monkeypatch.setattr(Path, "unlink", unlink)
    assert train_run(run, "cpu") == "done"


def test_a_run_that_another_process_brought_to_its_end_is_left_alone(tiny_plan):
    run = pick(tiny_plan(), "vlt5", "vqa", "teacher")
    assert train_run(run, "cpu") == "done"
    before = content(run_dir(run.id))
    assert train_run(run, "cpu", ended=lambda: "done") == "done"
    assert content(run_dir(run.id)) == before  # times are in status.json


def test_checkpoints_are_written_by_time(tiny_plan, monkeypatch):
    run, written = pick(tiny_plan(), "vlt5", "vqa", "teacher"), []
    write = Checkpoints.write
    monkeypatch.setattr(
        Checkpoints, "write", lambda self, found: (written.append(found.step), write(self, found))
    )
    monkeypatch.setattr("amad_bench.training.checkpoints.SHARE", 0)
    train_run(run, "cpu", checkpoint_every_s=1e-9)
    assert written == [1, 2, 3, 4, 5, 6]
    written.clear()
    (run_dir(run.id) / "status.json").unlink()
    train_run(run, "cpu", checkpoint_every_s=3600.0)
    assert written == []


@pytest.mark.parametrize("part", ["ce", "gradient"])
def test_what_is_not_finite_is_named_and_the_best_weights_stay(tiny_plan, monkeypatch, part):
    run = pick(tiny_plan(), "vlt5", "vqa", "teacher")
    objective, update, seen = run_module.Objective.forward, Updates.finish, []

    def forward(self, teacher, student, epoch=1):
        value = objective(self, teacher, student, epoch)
        seen.append(epoch)
        if part == "ce" and len(seen) == 5:
            bad = value.parts["ce"] * float("nan")
            return value._replace(total=value.total + bad, parts={**value.parts, "ce": bad})
        return value

    def finish(self):
        norm = update(self)
        return norm * float("inf") if part == "gradient" and len(seen) == 5 else norm

    monkeypatch.setattr(run_module.Objective, "forward", forward)
    monkeypatch.setattr(Updates, "finish", finish)
    assert train_run(run, "cpu") == "diverged"
    status = read_json(run_dir(run.id) / "status.json")
    named = "ce" if part == "ce" else "gradient_norm"
    assert status["reason"] == f"{named} not finite at step 5; the weights of step 3 are kept"
    assert status["best_step"] == 3
    assert (run_dir(run.id) / "model.safetensors").exists()


@pytest.fixture(autouse=True)
def _handlers_come_back():
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    signal.signal(signal.SIGINT, ignored)
