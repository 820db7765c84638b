"""Compiled trainings: those that record nothing are, others say so; numbers move by rounding only."""

import shutil
import subprocess
import sys
from functools import wraps

import pytest
import torch

from amad_bench.bench.processes import AMAD_BENCH, environment
from amad_bench.models.checkpoints import checkpoint_weights
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_json
from amad_bench.training.run import train_run
from tests.training import conftest
from tests.training.conftest import pick, run_dir


@pytest.fixture
def compiled_as_they_are(monkeypatch):
    """What torch.compile got; it does nothing else: compiling takes a minute."""
    seen = []

    def compile_nothing(function):
        seen.append(function)

        @wraps(function)
        def run(*args, **kwargs):
            return function(*args, **kwargs)

        return run

    monkeypatch.setattr(torch, "compile", compile_nothing)
    monkeypatch.setenv("CXX", sys.executable)  # which is there
    return seen


@pytest.mark.parametrize(
    ("label", "compiled"), [("ce", True), ("logit_kd", True), ("amad_kl", False), ("hidden_mse", False)]
)
def test_what_is_compiled(tiny_plan, compiled_as_they_are, capsys, label, compiled):
    plan = tiny_plan(more_losses="  - {name: hidden_mse}\n")
    run = pick(plan, "vlt5", "vqa", label)
    if run.config.teacher is not None and run.config.teacher.run_id is not None:
        train_run(plan.run(run.config.teacher.run_id), "cpu")
    assert train_run(run, "cpu", compiled=True) == "done"
    assert len(compiled_as_they_are) == compiled
    assert read_json(run_dir(run.id) / "status.json")["compiled"] is compiled
    assert (f"not compiled, since {label} reads" in capsys.readouterr().out) is not compiled


def test_nothing_is_compiled_unless_it_is_asked_for(tiny_plan, compiled_as_they_are):
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    assert train_run(run, "cpu") == "done"
    assert compiled_as_they_are == []
    assert read_json(run_dir(run.id) / "status.json")["compiled"] is False


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile calls g++")
@pytest.mark.parametrize("family", ["vlt5", "blip"])
def test_compiled_weights_are_those_of_the_plain_training(tiny_plan, tmp_path, monkeypatch, family):
    """In processes of their own: what torch's compiler does depends on what its process did before."""
    monkeypatch.setattr(conftest, "CONFIG", conftest.CONFIG.replace("dropout: 0.1", "dropout: 0.0"))
    run = pick(tiny_plan(), family, "vqa", "ce")
    config = (tmp_path / "tiny.yaml").read_text(encoding="utf-8")
    asked = ["run", "--config", "tiny.yaml", "--run", run.id, "--device", "cpu"]
    weights = []
    for compiled in (False, True):
        (tmp_path / "tiny.yaml").write_text(f"{config}compile: {str(compiled).lower()}\n", encoding="utf-8")
        done = subprocess.run([*AMAD_BENCH, *asked], capture_output=True, text=True, env=environment())
        assert done.returncode == 0, done.stderr
        assert read_json(run_dir(run.id) / "status.json")["compiled"] is compiled
        weights.append(checkpoint_weights(run_dir(run.id) / "model.safetensors").tensors)
        (run_dir(run.id) / "status.json").unlink()
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, atol=1e-4, rtol=1e-4)


def test_without_a_compiler_it_ends_in_one_line(tiny_plan, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    with pytest.raises(UserError, match="compile: true needs a compiler of C"):
        train_run(run, "cpu", compiled=True)
