"""Runs with a micro-batch: what rows say, without memory, after an interruption; and pre-training."""

import json
import socket
from functools import wraps

import pytest
import torch

from amad_bench.data.pretraining.data import load_pretraining
from amad_bench.models.blip.pretraining import BlipVisionLanguage
from amad_bench.models.vlt5.model import VLT5
from amad_bench.runtime.files import read_json
from amad_bench.training import predict
from amad_bench.training.accumulation import MicroBatch
from amad_bench.training.pretraining import fresh_pretrainer, pretrain
from amad_bench.training.run import score_run, train_run
from tests.training.conftest import pick, run_dir
from tests.training.test_resume import interrupted, made

CPU = torch.device("cpu")


def status_of(run):
    return read_json(run_dir(run.id) / "status.json")


@pytest.fixture
def small_memory(monkeypatch):
    """small_memory(examples): a training VL-T5 or BLIP pre-trainer has memory for that many at once."""

    def limit(examples, kind=VLT5):
        forward = kind.forward

        @wraps(forward)
        def limited(self, *args, **kwargs):
            if self.training and len(kwargs["labels" if kind is VLT5 else "input_ids"]) > examples:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return forward(self, *args, **kwargs)

        monkeypatch.setattr(kind, "forward", limited)

    return limit


@pytest.fixture
def decoded_at_once(monkeypatch):
    """The numbers of examples that were decoded at once."""
    seen, decode = [], predict.decode

    def watched(*args, **kwargs):
        seen.append(kwargs["batch"])
        return decode(*args, **kwargs)

    monkeypatch.setattr(predict, "decode", watched)
    return seen


@pytest.mark.parametrize(("asked", "expected"), [(None, (8, False)), (3, (3, False)), (100, (8, False))])
def test_the_row_says_how_many_examples_were_computed_at_once(tiny_plan, decoded_at_once, asked, expected):
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    assert train_run(run, "cpu", micro_batch=asked) == "done"
    status = status_of(run)
    assert (status["micro_batch"], status["micro_batch_halved"]) == expected
    assert set(decoded_at_once) == {expected[0]}


def test_a_run_whose_memory_runs_out_goes_on_and_says_so(tiny_plan, small_memory, decoded_at_once, capsys):
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    small_memory(3)
    assert train_run(run, "cpu") == "done"
    status = status_of(run)
    assert (status["micro_batch"], status["micro_batch_halved"], status["steps"]) == (2, True, 6)
    assert set(decoded_at_once) == {2}
    said = [line for line in capsys.readouterr().err.splitlines() if "goes on with micro_batch" in line]
    assert ["micro_batch 4" in line for line in said] == [True, False]
    decoded_at_once.clear()
    assert score_run(run, "cpu") == "done"
    assert set(decoded_at_once) == {2}
    assert status_of(run)["micro_batch"] == 2


def test_a_single_rank_has_failed_without_memory(tiny_plan, small_memory, monkeypatch):
    """What torchrun starts, be it one process, is wrapped in DDP, which cannot begin a step again."""
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    small_memory(4)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    ranks = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "LOCAL_WORLD_SIZE": 1}
    for name, value in (address | ranks).items():
        monkeypatch.setenv(name, str(value))
    assert train_run(run, "cpu") == "out_of_memory"
    status = status_of(run)
    assert (status["micro_batch"], status["micro_batch_halved"], status["ranks"]) == (8, False, 1)


def test_with_memory_for_not_one_example_it_has_failed(tiny_plan, small_memory):
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    small_memory(0)
    assert train_run(run, "cpu") == "out_of_memory"
    status = status_of(run)
    assert (status["micro_batch"], status["micro_batch_halved"]) == (1, True)
    assert status["reason"] == "CUDA out of memory."


def test_interrupted_after_that_it_goes_on_as_it_was(tiny_plan, tmp_path, monkeypatch, small_memory, capsys):
    """To the bit, dropout included; and does not run out of memory again."""
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    small_memory(4)
    results = []
    for name in ("undisturbed", "interrupted"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        if name == "interrupted":
            interrupted(run, monkeypatch, 2)
            capsys.readouterr()
        assert train_run(run, "cpu") == "done"
        results.append((made(run), status_of(run)["micro_batch"], status_of(run)["micro_batch_halved"]))
    assert results[0] == results[1]
    assert results[1][1:] == (4, True)
    assert "out of memory" not in capsys.readouterr().err


def test_interrupted_it_goes_on_with_what_is_asked_for_now(tiny_plan, monkeypatch, capsys):
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    interrupted(run, monkeypatch, 2)
    assert train_run(run, "cpu", micro_batch=2) == "done"
    assert f"{run.id}: goes on with micro_batch 2, begun with 8\n" in capsys.readouterr().out
    assert status_of(run)["micro_batch"] == 2
    assert status_of(run)["continued"] == 1


PARTED = [("vlt5", "text"), ("vlt5", "vl"), ("blip", "text")]


@pytest.mark.parametrize(("family", "condition"), PARTED)
def test_a_pretraining_in_parts_is_the_same(tiny_plan, tmp_path, family, condition):
    """Its losses are computed in float32."""
    config = pick(tiny_plan(condition=condition), family, "pretraining", "pretrain").config
    shape = config.model.model_copy(update={"dropout": 0.0})
    training = config.training.model_copy(update={"steps": 3, "batch": 8, "evaluations": 1})
    config = config.model_copy(update={"training": training, "model": shape})
    data, found = load_pretraining(config), []
    for size in (None, 3, 1):
        model, path = fresh_pretrainer(config, data).double(), tmp_path / f"{size}.jsonl"
        model.register_forward_pre_hook(_doubled, with_kwargs=True)
        trained = pretrain(model, data, config, CPU, path, "test", micro=MicroBatch(size, 8))
        assert trained.micro_batch == (size or 8)
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        found.append(([row for row in rows if "loss" in row], model.state_dict()))
    (rows, weights), *others = found
    assert len(rows) == 2
    for own, other in others:
        assert [row.keys() for row in own] == [row.keys() for row in rows]
        for row, expected in zip(own, rows, strict=True):
            assert row == pytest.approx(expected, rel=1e-5)
        assert all((other[name] - weights[name]).abs().max() < 1e-6 for name in weights)


def _doubled(_module, args, kwargs):
    return args, {k: v.double() if v.is_floating_point() else v for k, v in kwargs.items()}


def test_a_pretraining_by_contrast_takes_whole_batches_and_says_so(tiny_plan, capsys, small_memory):
    run = pick(tiny_plan(condition="vl"), "blip", "pretraining", "pretrain")
    assert train_run(run, "cpu", micro_batch=2) == "done"
    line = f"{run.id}: pre-training by contrast compares all examples of a batch: micro_batch 2 is not used\n"
    assert line in capsys.readouterr().out
    assert (status_of(run)["micro_batch"], status_of(run)["micro_batch_halved"]) == (8, False)
    small_memory(4, BlipVisionLanguage)
    other = pick(tiny_plan(condition="vl"), "blip", "pretraining", "pretrain", replicate=0)
    (run_dir(other.id) / "status.json").unlink()
    assert train_run(other, "cpu") == "out_of_memory"
    assert status_of(other)["micro_batch"] == 8
