"""The Triton kernels without a GPU: their numbers by Triton's interpreter, their code by its compiler."""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from amad_bench.losses.kernels.triton_loss import triton_loss
from tests.losses.cases import layer_trace

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed; there are wheels for Linux"
)


def run(folder, *arguments, **variables):
    """Output of a process of its own: how kernels are run is decided when Triton is imported."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment = {**kept, "TRITON_CACHE_DIR": str(folder / "triton"), **variables}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def interpreted(repository, folder, marked):
    options = ["-n", "0", "-p", "no:cacheprovider", "-m", marked, f"--rootdir={repository}"]
    path = str(repository / "tests/losses/kernels/interpreted.py")
    return run(folder, "-m", "pytest", *options, path, TRITON_INTERPRET="1")


@needs_triton
def test_interpreted(repository, tmp_path):
    assert "passed" in interpreted(repository, tmp_path, "not slow")


@needs_triton
@pytest.mark.slow
def test_interpreted_with_all_masks_and_options(repository, tmp_path):
    assert "passed" in interpreted(repository, tmp_path, "slow")


@needs_triton
@pytest.mark.slow
def test_compiles_for_gpus_that_are_not_there(tmp_path):
    said = run(tmp_path, "-m", "tests.losses.kernels.compiled", "80", "90", TRITON_INTERPRET="0")
    lines = said.splitlines()
    assert len(lines) == 2 * 4 * 2 * 2
    assert all(int(line.split()[-2]) > 1000 for line in lines)


@needs_triton
def test_without_cuda_it_is_one_line():
    teacher, student = layer_trace(3), layer_trace(2)
    message = r"^kernel 'triton' needs a CUDA device, not cpu; use kernel 'chunked'$"
    with pytest.raises(ValueError, match=message):
        triton_loss(teacher, student, None, method="amad", options={})


def test_without_triton_it_is_one_line(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"^kernel 'triton' needs the package triton"):
        triton_loss(layer_trace(3), layer_trace(2), None, method="amad", options={})


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("amad", {"variant": "projected"}, "unknown variant of kernel 'triton' 'projected'"),
        ("sinkhorn", {}, "unknown loss of kernel 'triton' 'sinkhorn'"),
        ("amad", {"temperature": 0.0}, "temperature must be above 0"),
        ("amad", {"similarity": "l2"}, "unknown similarity 'l2'"),
        ("amad", {"variant": "mse", "row_reduction": "sum"}, "for the variants with rows"),
        ("amad", {"head_reduction": "max"}, "unknown head_reduction 'max'"),
        ("one_to_one", {}, "teacher has 3 heads and the student 2; set drop='extra'"),
        ("head_mean", {"distance": "l2"}, "unknown distance 'l2'"),
    ],
)
def test_what_the_losses_refuse_is_refused(method, options, message):
    with pytest.raises(ValueError, match=message):
        triton_loss(layer_trace(3), layer_trace(2), None, method=method, options=options)


def test_an_option_that_the_loss_does_not_have():
    with pytest.raises(TypeError, match="distance"):
        triton_loss(layer_trace(3), layer_trace(2), None, method="amad", options={"distance": "kl"})


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_number_types_are_refused(monkeypatch, dtype):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    teacher, student = layer_trace(3), layer_trace(2)
    student.query_BHQD = student.query_BHQD.to(dtype)
    with pytest.raises(ValueError, match=f"float32 and bfloat16, not {dtype}"):
        triton_loss(teacher, student, None, method="amad", options={})


def test_maps_of_other_sizes_are_refused():
    with pytest.raises(ValueError, match="equal in all but heads"):
        triton_loss(layer_trace(3, keys=4), layer_trace(2), None, method="amad", options={})
