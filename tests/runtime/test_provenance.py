"""What a result says about where it comes from."""

import json
import platform
import subprocess
from pathlib import Path

import pytest
import torch

from amad_bench.runtime import slots
from amad_bench.runtime.provenance import _commit, provenance
from amad_bench.runtime.slots import Place


def test_it_is_flat_json_and_names_versions() -> None:
    facts = provenance("cpu")
    assert json.loads(json.dumps(facts)) == facts
    assert facts["torch"] == torch.__version__
    assert facts["python"] == platform.python_version()
    assert (facts["device"], facts["device_name"], facts["cuda"]) == ("cpu", None, None)
    assert facts["threads"] == torch.get_num_threads()
    assert facts["cpu"]


def test_the_build_of_torch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CUDA wheel of PyPI: its metadata say 2.13.0, and so would those of the CPU's."""
    monkeypatch.setattr(torch, "__version__", "2.13.0+cu130")
    assert provenance("cpu")["torch"] == "2.13.0+cu130"


@pytest.mark.parametrize("variable", ["", "GIT_DIR", "GIT_TEST_ASSUME_DIFFERENT_OWNER"])
def test_the_commit_is_that_of_the_source_tree(
    variable: str, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["git", "-C", str(repository), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True)
    if variable:  # a command of a git hook; somebody else's checkout (1: say so to git)
        monkeypatch.setenv(variable, "1")
    _commit.cache_clear()
    assert provenance("cpu")["commit"] == (done.stdout.strip() if done.returncode == 0 else None)


def test_the_lock_is_that_of_the_source_tree(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = subprocess.run(
        ["sha256sum", str(repository / "requirements.lock")], capture_output=True, text=True
    )
    assert provenance("cpu")["lock"] == known.stdout[:16]
    monkeypatch.setattr("amad_bench.__file__", str(tmp_path / "site-packages/amad_bench/__init__.py"))
    assert provenance("cpu")["lock"] is None


def test_the_place_on_a_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (provenance("cpu")["gpus"], provenance("cpu")["runs_per_gpu"]) == (None, None)
    own = Place(("GPU-a", "GPU-b"), 1)
    monkeypatch.setattr(slots, "_place", own)
    assert (provenance("cpu")["gpus"], provenance("cpu")["runs_per_gpu"]) == ("GPU-a,GPU-b", 1)


def test_what_a_cpu_has_not() -> None:
    facts = provenance("cpu")
    assert facts["driver"] is None
