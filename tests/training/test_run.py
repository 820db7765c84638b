"""Whole runs at toy size: what they write, what they repeat exactly, how they fail."""

import fcntl
import json
import os
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from amad_bench.data.batch import Batch
from amad_bench.data.images.regions import PatchRegions
from amad_bench.data.images.table import Arrays, ImageTable
from amad_bench.data.tasks import loader
from amad_bench.data.tasks.batches import text_batch
from amad_bench.data.tasks.data import Split
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.runtime.errors import RunFailed, UserError
from amad_bench.runtime.locks import held
from amad_bench.runtime.ranks import FailedAlone, Ranks
from amad_bench.training.run import score_run, train_run
from tests.training.conftest import pick, retrained, run_dir


def _status(run):
    return json.loads((run_dir(run.id) / "status.json").read_text())


def _scores(run) -> pd.DataFrame:
    return pd.read_parquet(run_dir(run.id) / "scores.parquet")


@pytest.mark.parametrize("family", ["vlt5", "blip"])
def test_teacher_then_student_write_everything(tiny_plan, family):
    plan = tiny_plan()
    teacher, student = (pick(plan, family, "vqa", label) for label in ("teacher", "amad_kl"))
    assert [train_run(run, "cpu") for run in (teacher, student)] == ["done", "done"]
    for run in (teacher, student):
        files = {path.name for path in run_dir(run.id).iterdir()}
        assert files == {
            "run.json",
            "status.json",
            "steps.jsonl",
            "predictions.jsonl",
            "scores.parquet",
            "model.safetensors",
            "tokenizer.json",
        }
        assert json.loads((run_dir(run.id) / "run.json").read_text())["config"] == run.config.canonical()
    lines = (run_dir(student.id) / "steps.jsonl").read_text().splitlines()
    steps = [json.loads(line) for line in lines]
    logged = [step for step in steps if "loss" in step]
    assert [step["step"] for step in logged] == [1, 3, 6]
    for step in logged:
        assert step["attention"] > 0
        total = step["ce"] + step["logit_kd"] + step["attention"]
        assert step["loss"] == pytest.approx(total, rel=1e-5)
    assert [step["step"] for step in steps if "validation_loss" in step] == [3, 6]
    assert _status(student)["extra_params"] == 0
    assert set(_scores(teacher)["split"]) == {"test", "test_blind", "test_majority"}
    assert set(_scores(student)["split"]) == {"test"}
    per_metric = _scores(student).groupby("metric")["example_id"].agg(["size", "nunique"])
    assert (per_metric == 24).all(axis=None)  # 6 images x 4 questions, none lost, none twice


def test_same_seed_same_bytes_and_another_replicate_differs(tiny_plan, tmp_path, monkeypatch):
    plan = tiny_plan()
    runs = [
        pick(plan, "vlt5", "translation", "teacher"),
        pick(plan, "vlt5", "translation", "amad_kl"),
        pick(plan, "vlt5", "translation", "amad_kl", replicate=1),
    ]
    contents = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        for run in runs:
            assert train_run(run, "cpu") == "done"
        contents.append(
            {
                (run.id, file): (run_dir(run.id) / file).read_bytes()
                for run in runs
                for file in ("scores.parquet", "model.safetensors", "steps.jsonl", "predictions.jsonl")
            }
        )
    assert contents[0] == contents[1]
    first, other = (contents[0][run.id, "steps.jsonl"] for run in runs[1:])
    assert first != other


def test_scoring_again_gives_the_same_bytes(tiny_plan):
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    train_run(run, "cpu")
    before = (run_dir(run.id) / "scores.parquet").read_bytes()
    (run_dir(run.id) / "scores.parquet").unlink()
    assert score_run(run, "cpu") == "done"
    assert (run_dir(run.id) / "scores.parquet").read_bytes() == before


def test_scoring_again_locks_the_run(tiny_plan, monkeypatch):
    """As training does: two processes must not write one folder's files."""
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    train_run(run, "cpu")
    free = []

    def predict_and_score(*_):
        handle = os.open(run_dir(run.id), os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free.append(True)
        except BlockingIOError:
            free.append(False)
        finally:
            os.close(handle)
        return {}

    monkeypatch.setattr("amad_bench.training.run.predict_and_score", predict_and_score)
    assert score_run(run, "cpu") == "done"
    assert free == [False]


def test_a_diverged_teacher_is_a_status_and_its_student_says_so(tiny_plan):
    plan = tiny_plan(rate="1.0e+30")
    teacher, student = (pick(plan, "vlt5", "vqa", label) for label in ("teacher", "amad_kl"))
    assert train_run(teacher, "cpu") == "diverged"
    assert "not finite at step" in _status(teacher)["reason"]
    assert not (run_dir(teacher.id) / "model.safetensors").exists()
    assert train_run(student, "cpu") == "teacher_failed"
    assert teacher.id in _status(student)["reason"]


def test_a_run_that_fails_keeps_no_older_results(tiny_plan):
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    train_run(run, "cpu")
    run = retrained(run, learning_rate=1e30)
    assert train_run(run, "cpu") == "diverged"
    assert not {"model.safetensors", "scores.parquet", "predictions.jsonl"} & {
        path.name for path in run_dir(run.id).iterdir()
    }


def test_out_of_memory_is_a_status(tiny_plan, monkeypatch):
    """A real failed allocation, of the kind PyTorch reports on a CPU."""
    monkeypatch.setattr("amad_bench.training.run.train", lambda *_: torch.empty(2**60, dtype=torch.uint8))
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    assert train_run(run, "cpu") == "out_of_memory"
    assert "allocate memory" in _status(run)["reason"]


def test_a_rank_without_memory_ends_the_run_alone(tiny_plan, monkeypatch):
    """The others may be anywhere: it asks nothing of them, says how the run ended, and what to do."""

    class Second(Ranks):
        def gathered(self, _value):
            raise AssertionError("nobody answers")

    @contextmanager
    def joined(_device):
        ranks = Second(1, 2)
        for module in ("run", "noted", "predict", "loop"):
            monkeypatch.setattr(f"amad_bench.training.{module}.here", lambda: ranks)
        yield ranks

    monkeypatch.setattr("amad_bench.training.run.joined", joined)
    monkeypatch.setattr("amad_bench.training.run.train", lambda *_: torch.empty(2**60, dtype=torch.uint8))
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    run_dir(run.id).mkdir(parents=True)  # by the first
    with pytest.raises(FailedAlone):
        train_run(run, "cpu")
    status = _status(run)
    assert (status["status"], status["ranks"]) == ("out_of_memory", 2)
    assert status["reason"].endswith("; rank 1 of 2: set micro_batch below 4")
    assert {path.name for path in run_dir(run.id).iterdir()} == {"status.json"}


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    ("workers", "error", "reason"),
    [
        (0, MemoryError(), "no memory is left"),  # Python's own says nothing
        (1, MemoryError(), "no memory is left"),
        (1, MemoryError("Unable to allocate 7 PiB"), "Unable to allocate 7 PiB"),
        (
            1,
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            "DefaultCPUAllocator: can't allocate memory",
        ),
    ],
)
def test_a_worker_out_of_memory_is_the_same_status(tiny_plan, monkeypatch, workers, error, reason):
    main = os.getpid()

    def fail(self: ImageTable, rows_B: np.ndarray) -> Arrays:
        if workers and os.getpid() == main:
            return read(self, rows_B)
        raise error

    read = PatchRegions.read
    monkeypatch.setattr(PatchRegions, "read", fail)
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    assert train_run(run, "cpu", workers) == "out_of_memory"
    assert _status(run)["reason"] == reason


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_worker_that_is_killed_leaves_the_run_unfinished(tiny_plan, monkeypatch):
    """The machine's fault, not the method's: the run has no status and is planned again."""
    main = os.getpid()

    def killed(self: ImageTable, rows_B: np.ndarray) -> Arrays:
        if os.getpid() != main:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(self, rows_B)

    read = PatchRegions.read
    monkeypatch.setattr(PatchRegions, "read", killed)
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    with pytest.raises(UserError, match=r"died: signal 9, SIGKILL, as when memory runs out; lower workers"):
        train_run(run, "cpu", workers=2)
    assert not (run_dir(run.id) / "status.json").exists()


@pytest.mark.parametrize(("task", "beams"), [("vqa", 1), ("translation", 2)])
def test_no_batch_is_larger_than_that_of_the_training(tiny_plan, monkeypatch, task, beams):
    """Its teacher, its validations and its predictions must fit where it does; each beam is a text."""
    sizes: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    plan = tiny_plan()
    run = pick(plan, "vlt5", task, "amad_kl")
    run = retrained(run, batch=5)
    train_run(pick(plan, "vlt5", task, "teacher"), "cpu")
    lengths = {name: len(getattr(load_task_data(run.config), name)) for name in sizes}
    assert len(set(lengths.values())) == 3
    assert min(lengths.values()) > 5

    def recorded(split: Split, rows: np.ndarray, *options) -> Batch:
        name = next(name for name, length in lengths.items() if length == len(split))
        sizes[name].append(len(rows))
        return text_batch(split, rows, *options)

    monkeypatch.setattr(loader, "text_batch", recorded)
    assert train_run(run, "cpu") == "done"
    assert {name: max(found) for name, found in sizes.items()} == {
        "train": 5,
        "validation": 5,
        "test": 5 // beams,
    }


def test_a_bug_passes_through(tiny_plan, monkeypatch):
    monkeypatch.setattr("amad_bench.training.run.train", lambda *_: torch.zeros(2) @ torch.zeros(3))
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        train_run(run, "cpu")
    assert not (run_dir(run.id) / "status.json").exists()


def test_more_examples_than_there_are_is_one_line(tiny_plan):
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    run = retrained(run, examples=49)
    with pytest.raises(UserError, match="49 asked for, the training split has 48; lower it or write all"):
        train_run(run, "cpu")


@pytest.mark.trap("fair-1")
def test_losses_of_a_replicate_start_from_the_same_weights_and_the_same_batch(tiny_plan):
    """Pairing: the first step's cross-entropy is the same number for every loss."""
    plan = tiny_plan()
    train_run(pick(plan, "vlt5", "vqa", "teacher"), "cpu")
    first = []
    for label in ("ce", "logit_kd", "amad_kl"):
        run = pick(plan, "vlt5", "vqa", label)
        train_run(run, "cpu")
        line = (run_dir(run.id) / "steps.jsonl").read_text().splitlines()[0]
        first.append(json.loads(line)["ce"])
    assert first[0] == first[1] == first[2]


def test_a_run_that_was_never_trained_cannot_be_scored(tiny_plan):
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    with pytest.raises(UserError, match=f"not trained; run `amad-bench run --run {run.id}` first"):
        score_run(run, "cpu")


def test_a_missing_teacher_names_the_command_that_trains_it(tiny_plan):
    run = pick(tiny_plan(), "vlt5", "vqa", "logit_kd")
    with pytest.raises(UserError, match=rf"amad-bench run --run {run.teacher_id}"):
        train_run(run, "cpu")
    assert not (run_dir(run.id) / "status.json").exists()


def test_damaged_teacher_weights_are_one_line(tiny_plan):
    plan = tiny_plan()
    teacher, student = (pick(plan, "vlt5", "vqa", label) for label in ("teacher", "logit_kd"))
    train_run(teacher, "cpu")
    weights = run_dir(teacher.id) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"model\.safetensors: no weights can be read") as caught:
        train_run(student, "cpu")
    assert len(str(caught.value).splitlines()) == 1


def test_cuda_where_there_is_none_is_one_line(tiny_plan, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    with pytest.raises(UserError, match="device: cuda was asked for"):
        train_run(run, "cuda")
    assert not Path(run_dir(run.id)).exists()


def test_triton_where_there_is_no_cuda_is_one_line(tiny_plan, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    plan = tiny_plan(more_losses="  - {name: head_mean, kernel: triton}\n")
    run = pick(plan, "vlt5", "vqa", "head_mean")
    train_run(plan.by_id[run.teacher_id], "cpu")
    with pytest.raises(
        UserError, match=r"^kernel 'triton' needs a CUDA device, not cpu; use kernel 'chunked'$"
    ):
        train_run(run, "cpu")


@pytest.mark.parametrize(
    ("family", "task", "drawn"),
    [("vlt5", "vqa", True), ("vlt5", "translation", False), ("blip", "vqa", False)],
)
def test_answers_are_drawn_for_vqa_of_vlt5_alone(tiny_plan, monkeypatch, family, task, drawn):
    seen = []

    def batches(_split, _images, _order, _device, _workers, answer_generator, _own):
        seen.append(answer_generator is not None)
        raise RunFailed("diverged", "enough")

    monkeypatch.setattr("amad_bench.training.loop.batches", batches)
    assert train_run(pick(tiny_plan(), family, task, "teacher"), "cpu") == "diverged"
    assert seen == [drawn]


def test_the_cost_and_the_origin_of_the_weights_are_facts(tiny_plan):
    """No weights were cut: there is no head map."""
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    train_run(run, "cpu")
    status = _status(run)
    assert status["head_map"] == {}
    assert status["flops_per_example"] > 2 * status["parameters"]  # a multiply-add per parameter at least


@pytest.mark.parametrize("command", [train_run, score_run])
def test_a_run_is_locked_as_long_as_it_is_worked_on(tiny_plan, monkeypatch, command):
    """A killed Snakemake can leave a child behind that still trains it."""
    run = pick(tiny_plan(), "vlt5", "vqa", "teacher")
    train_run(run, "cpu")
    seen = []
    for record in ("run_record", "status"):
        monkeypatch.setattr(
            f"amad_bench.runtime.run_folder.{record}.write_json_atomic",
            lambda path, _: seen.append(held(path.parent)),
        )
    command(run, "cpu")
    assert len(seen) == (2 if command is train_run else 1)
    assert all(seen)


def test_workers_read_for_training_validation_and_prediction(tiny_plan, monkeypatch):
    run = pick(tiny_plan(), "vlt5", "vqa", "teacher")
    calls = []
    real = loader.Workers
    monkeypatch.setattr(loader, "Workers", lambda *given: calls.append(given[1]) or real(*given))
    assert train_run(run, "cpu", workers=1) == "done"
    assert calls == [1] * 5  # the training, two validations, the test split and the blind one
