"""Compiled trainings: each model is one graph, what is recorded too; numbers move by rounding only."""

import json
import shutil
import subprocess
import sys
from functools import partial, wraps

import numpy as np
import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from amad_bench.bench.processes import AMAD_BENCH, environment
from amad_bench.data.tasks.batches import make_batch
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.losses.kernels.choice import ENTRIES_AT_ONCE
from amad_bench.models.attention.recorder import record
from amad_bench.models.checkpoints import checkpoint_weights
from amad_bench.plan.catalogue import model_shape
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_json
from amad_bench.training import loop
from amad_bench.training.compiling import forward_pass_of
from amad_bench.training.distill import Objective
from amad_bench.training.run import train_run
from amad_bench.training.run_model import fresh_model
from amad_bench.training.step import TrainStep
from amad_bench.training.teacher_outputs import OnlineOutputs
from tests.tiny_models import tiny_batch, tiny_model
from tests.training import conftest
from tests.training.conftest import pick, run_dir
from tests.training.test_every_loss import IN_CHUNKS, LINES

NO_DROPOUT = conftest.CONFIG.replace("dropout: 0.1", "dropout: 0.0")


@pytest.fixture
def compiled_as_they_are(monkeypatch):
    """What torch.compile got; it does nothing else: compiling takes a minute."""
    seen = []

    def compile_nothing(function, **_options):
        seen.append(function)

        @wraps(function)
        def run(*args, **kwargs):
            return function(*args, **kwargs)

        return run

    monkeypatch.setattr(torch, "compile", compile_nothing)
    monkeypatch.setenv("CXX", sys.executable)  # which is there
    return seen


@pytest.fixture
def graphs(monkeypatch):
    """The number of graphs so far; they are made, and run as they are."""
    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    return lambda: counters["stats"]["unique_graphs"]


@pytest.mark.parametrize("label", ["ce", "amad_kl", "hidden_mse"])
def test_students_are_compiled_and_teachers_that_run_for_each_batch(tiny_plan, compiled_as_they_are, label):
    plan = tiny_plan(more_losses="  - {name: hidden_mse}\n")
    run = pick(plan, "vlt5", "vqa", label)
    if run.config.teacher is not None and run.config.teacher.run_id is not None:
        train_run(plan.run(run.config.teacher.run_id), "cpu")
    assert train_run(run, "cpu", compiled=True) == "done"
    assert len(compiled_as_they_are) == 1  # the teacher's outputs are stored
    assert read_json(run_dir(run.id) / "status.json")["compiled"] is True


def test_nothing_is_compiled_unless_it_is_asked_for(tiny_plan, compiled_as_they_are):
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    assert train_run(run, "cpu") == "done"
    assert compiled_as_they_are == []
    assert read_json(run_dir(run.id) / "status.json")["compiled"] is False


def _step(plan, run, compiled):
    """Loss parts and gradients of a second step, of new models with a teacher that runs for each batch."""
    config, source = run.config, plan.run(run.config.teacher.run_id).config
    data, objective = load_task_data(config), Objective(config.loss, 0)
    shapes = (model_shape(c.family, c.task, c.model, sites=objective.sites) for c in (config, source))
    objective.choose_layers(*shapes)
    torch.manual_seed(0)
    teacher, model = fresh_model(source, data).requires_grad_(False), fresh_model(config, data)
    taught = OnlineOutputs(teacher, objective, compiled=compiled).trace
    loop._materialise(objective, model, data, torch.device("cpu"), taught, 8, 8)
    rows = np.arange(8)
    batch = make_batch(data.train, data.images, rows, "cpu")
    with objective.record_student(model.train()) as recorder:
        step = TrainStep(model, objective, recorder, taught, compiled=compiled)
        step(rows, batch, 1).total.backward()
        step.zero_grad()
        value = step(rows, batch, 1)
        value.total.backward()
    return value.parts, {name: p.grad for name, p in step.named_parameters() if p.grad is not None}


@pytest.mark.slow
@pytest.mark.parametrize("label", ["amad_kl", "minilm_v2", "hidden_mse", "shd", *IN_CHUNKS])
@pytest.mark.parametrize("family", ["vlt5", "blip"])
def test_whatever_is_recorded_a_step_is_that_of_plain_models(tiny_plan, monkeypatch, graphs, family, label):
    monkeypatch.setitem(ENTRIES_AT_ONCE, "cpu", 1 if label in IN_CHUNKS else ENTRIES_AT_ONCE["cpu"])
    monkeypatch.setattr(conftest, "CONFIG", NO_DROPOUT)
    plan = tiny_plan(more_losses=LINES.get(label, ""))
    run = pick(plan, family, "vqa", label)
    parts, gradients = _step(plan, run, compiled=False)
    assert graphs() == 0
    compiled_parts, compiled_gradients = _step(plan, run, compiled=True)
    assert graphs() == 2  # the teacher and the student
    assert compiled_gradients.keys() == gradients.keys()
    for found, expected in ((compiled_parts, parts), (compiled_gradients, gradients)):
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, atol=1e-6, rtol=1e-5, msg=name)


def test_a_recorded_model_is_one_graph(graphs):
    """A model compiled first is made anew with what is recorded, once; then lengths may be others."""
    model, batch = tiny_model("vlt5").train(), tiny_batch("vlt5")
    forward = forward_pass_of(model, compiled=True)
    forward(**batch)
    with record(model, hidden=True) as recorder:
        recorder.trace(forward(**batch), batch["labels"])
        found = recorder.trace(forward(**batch), batch["labels"])
        assert graphs() == 2
        expected = recorder.trace(model(**batch), batch["labels"])
    for site, layers in expected.sites.items():
        for one, other in zip(layers, found.sites[site], strict=True):
            torch.testing.assert_close(other.probs_BHQK(), one.probs_BHQK(), atol=1e-6, rtol=0)
    assert found.hidden.keys() == expected.hidden.keys()
    gradients = []
    for trace in (found, expected):
        model.zero_grad()
        seen = [layer.probs_BHQK() for layers in trace.sites.values() for layer in layers]
        seen += [state_BLd for states_BLd in trace.hidden.values() for state_BLd in states_BLd]
        torch.stack([tensor.square().sum() for tensor in seen]).sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-5, rtol=1e-5, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vlt5", "blip-vqa"])
def test_lengths_that_vary_do_not_make_a_graph_each(graphs, kind):
    """One of the first batch's lengths, one of any. (Texts of 1 and targets of 1 or 2 get others.)"""
    model, whole = tiny_model(kind).train(), tiny_batch(kind)
    forward = forward_pass_of(model, compiled=True)
    for text, labels in [(6, 5), (5, 4), (4, 4), (3, 5), (6, 3), (2, 3), (5, 5), (4, 3), (3, 4)]:
        lengths = {"input_ids": text, "attention_mask": text, "labels": labels}
        batch = {
            name: x[:, : lengths[name]].contiguous() if name in lengths else x for name, x in whole.items()
        }
        torch.testing.assert_close(forward(**batch).logits, model(**batch).logits, atol=1e-5, rtol=1e-5)
    assert graphs() == 2


@pytest.mark.usefixtures("graphs")
def test_a_model_that_is_no_single_graph_is_refused_in_one_line():
    class Broken(nn.Module):
        def forward(self, x):
            torch._dynamo.graph_break()
            return x + 1

    with pytest.raises(UserError, match=r"cannot make one graph of Broken \(.+\); set compile: false$"):
        forward_pass_of(Broken(), compiled=True)(torch.ones(2))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile calls g++")
@pytest.mark.parametrize(
    ("family", "label"),
    [
        ("vlt5", "ce"),
        ("blip", "ce"),
        ("vlt5", "amad_kl"),
        ("vlt5", "hidden_mse"),
        ("blip", "minilm_v2"),
        ("blip", "shd"),
    ],
)
def test_a_compiled_training_is_the_plain_one(tiny_plan, tmp_path, monkeypatch, family, label):
    """In processes of their own: what torch's compiler does depends on what its process did before."""
    monkeypatch.setattr(conftest, "CONFIG", NO_DROPOUT)
    plan = tiny_plan(more_losses=LINES.get(label, ""))
    run = pick(plan, family, "vqa", label)
    if run.config.teacher is not None and run.config.teacher.run_id is not None:
        train_run(plan.run(run.config.teacher.run_id), "cpu")
    config = (tmp_path / "tiny.yaml").read_text(encoding="utf-8")
    asked = ["run", "--config", "tiny.yaml", "--run", run.id, "--device", "cpu"]
    weights, logs = [], []
    for compiled in (False, True):
        (tmp_path / "tiny.yaml").write_text(f"{config}compile: {str(compiled).lower()}\n", encoding="utf-8")
        done = subprocess.run([*AMAD_BENCH, *asked], capture_output=True, text=True, env=environment())
        assert done.returncode == 0, done.stderr
        assert read_json(run_dir(run.id) / "status.json")["compiled"] is compiled
        weights.append(checkpoint_weights(run_dir(run.id) / "model.safetensors").tensors)
        lines = (run_dir(run.id) / "steps.jsonl").read_text().splitlines()
        logs.append([row for row in map(json.loads, lines) if "loss" in row])
        (run_dir(run.id) / "status.json").unlink()
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, atol=1e-4, rtol=1e-4)
    assert len(logs[0]) == len(logs[1]) > 1
    for plain, found in zip(*logs, strict=True):
        assert found.keys() == plain.keys()
        for name in ("loss", *run.config.loss.loss_weights):
            assert found[name] == pytest.approx(plain[name], rel=1e-4, abs=1e-6), name


def test_without_a_compiler_it_ends_in_one_line(tiny_plan, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    with pytest.raises(UserError, match="compile: true needs a compiler of C"):
        train_run(run, "cpu", compiled=True)
