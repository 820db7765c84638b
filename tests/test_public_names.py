"""The public names at the package root: there, lazy, and light."""

import subprocess
import sys
from importlib import import_module

import pytest

import amad_bench

HOMES = {
    "Distiller": "amad_bench.distil.distiller",
    "LayerTrace": "amad_bench.models.attention.trace",
    "Trace": "amad_bench.models.attention.trace",
    "alignment_weights": "amad_bench.losses.amad",
    "amad_loss": "amad_bench.losses.amad",
    "build_loss": "amad_bench.losses",
    "cut": "amad_bench.models.heads",
    "record": "amad_bench.models.attention.recorder",
    "sites_of": "amad_bench.models.attention.sites",
}


def test_each_public_name_is_that_of_its_home():
    assert sorted(HOMES) == amad_bench.__all__
    for name, home in HOMES.items():
        assert getattr(amad_bench, name) is getattr(import_module(home), name)
    assert set(HOMES) < set(dir(amad_bench))


def test_any_other_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"^module 'amad_bench' has no attribute 'amad_los'$"):
        _ = amad_bench.amad_los  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ImportError, match="cannot import name 'Distil'"):
        from amad_bench import Distil  # noqa: F401  # pyright: ignore[reportAttributeAccessIssue]


def _loaded(code: str, packages: tuple[str, ...]) -> str:
    """Which of the packages a process has after that code."""
    line = f"import sys\n{code}\nprint(sorted(set({packages!r}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    return done.stdout


def test_the_package_alone_loads_nothing_heavy():
    code = "import amad_bench\ndir(amad_bench)\nassert not hasattr(amad_bench, 'amad_los')"
    assert _loaded(code, ("amad_bench.losses", "numpy", "torch")) == "[]\n"


@pytest.mark.parametrize("code", ["from amad_bench import *", "import amad_bench.models.attention.recorder"])
def test_losses_and_recorder_need_torch_and_numpy_only(code):
    """Not even what is imported where it happens to be installed."""
    heavy = ("h5py", "pandas", "pydantic", "safetensors", "scipy", "torch", "transformers")
    assert _loaded(code, heavy) == "['torch']\n"
