"""The folders of families and the records of the catalogue, one to one; a family stays in its folder."""

import ast
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import amad_bench
from amad_bench.models.family import FamilyModels, family_of, implementation_of
from amad_bench.plan.catalogue import FAMILIES, PRETRAINING
from tests.models.conftest import batches
from tests.tiny_models import KINDS, built, run_config, tiny_model

PACKAGE = Path(amad_bench.__file__).parent
NO_FAMILIES = ("attention",)  # folders of models/ that are shared
RECORDS = "plan/catalogue/families.py"
MEASURED = "bench/capture.py"  # the cost of recording for one model of each, which is no part of a run


def test_the_same_families():
    """Every folder with a family has a record, and every record names the class in its folder."""
    folders = {found.name for found in pkgutil.iter_modules([str(PACKAGE / "models")]) if found.ispkg}
    assert folders - set(NO_FAMILIES) == set(FAMILIES)
    for name, record in FAMILIES.items():
        implementation = type(implementation_of(record))
        assert issubclass(implementation, FamilyModels)
        assert implementation.__name__ == record.implementation
        assert implementation.__module__.startswith(f"amad_bench.models.{name}.")


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_belongs_to_the_folder_of_its_class(kind):
    family = kind.partition("-")[0]
    wanted = type(implementation_of(FAMILIES[family]))
    assert type(family_of(tiny_model(kind))) is wanted
    for condition in FAMILIES[family].pretraining:
        assert type(family_of(built(run_config(family, condition, pretrains=True)))) is wanted
    with pytest.raises(ValueError, match=r"^Linear is a model of none of the families vlt5, blip$"):
        family_of(nn.Linear(1, 1))


def test_conditions_and_needs_are_known():
    """What a record names is there: conditions, options, keys of inputs."""
    for record in FAMILIES.values():
        assert set(record.pretraining) <= set(PRETRAINING) - {"none"}
        assert set(implementation_of(record).may_be_fresh) <= set(record.pretraining)
        assert record.tokens.wanted_by is None or record.tokens.wanted_by in record.options
        for pretraining in record.pretraining.values():
            assert set(pretraining.prefixes) <= set(pretraining.parts)
            assert set(pretraining.parts.values()) <= {"captions", "questions", "phrases"}
            for need in (*pretraining.here, *pretraining.elsewhere):
                assert need.key.startswith("inputs.") or need.key in record.options


def _tokens(path: Path) -> set[str]:
    """Names of families among a file's texts (one whole text, or in quotes in it) and imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {name for name in FAMILIES if re.search(rf"(^|[.'\"`]){name}($|[.'\"`])", node.value)}
        elif isinstance(node, ast.ImportFrom):
            parts = (node.module or "").split(".")
            found |= {name for name in FAMILIES if parts[:3] == ["amad_bench", "models", name]}
    return found


def test_families_are_named_in_their_folders_and_records_alone():
    """Elsewhere a string or an import would be a switch that a new family has to be added to."""
    named = {}
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE).as_posix()
        own = place.split("/")[1] if place.startswith("models/") else ""
        if place not in (RECORDS, MEASURED) and (found := _tokens(path) - {own}):
            named[place] = found
    assert named == {}


@pytest.mark.parametrize(("one", "other"), [("vlt5", "blip"), ("blip", "vlt5")])
def test_a_run_of_one_family_imports_no_other(one, other, tmp_path):
    """In a fresh process that plans, trains and scores."""
    code = (
        "import sys\n"
        "from tests.planned import small_config\n"
        "from amad_bench.plan.grid import expand\n"
        "from amad_bench.training.run import train_run\n"
        f"run = expand(small_config({one!r}, 'captioning')).runs[0]\n"
        "print(train_run(run, 'cpu'))\n"
        f"print([name for name in sys.modules if name.startswith('amad_bench.models.{other}')])"
    )
    root = Path(__file__).parents[2]
    program = f"import os, sys; sys.path.insert(0, {str(root)!r}); os.chdir({str(tmp_path)!r})\n{code}"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-2:] == ["done", "[]"]


@pytest.mark.parametrize(
    ("family", "condition"), [("vlt5", "text"), ("vlt5", "vl"), ("blip", "text"), ("blip", "vl")]
)
def test_equal_generators_give_equal_batches_and_others_do_not(data_of, family, condition):
    data = data_of(family, condition)
    one, two, other = (batches(data, family, condition, 16, 3, seed) for seed in (1, 1, 2))
    for left, right in zip(one, two, strict=True):
        assert left.keys() == right.keys()
        assert all(torch.equal(left[name], right[name]) for name in left)
        whole = {"pixel_values", "vis_feats", "boxes"}
        assert all(tensor.dtype == torch.int64 for name, tensor in left.items() if name not in whole)
        assert all(len(tensor) == 16 for tensor in left.values())
    assert any(
        left["input_ids"].shape != right["input_ids"].shape
        or not torch.equal(left["input_ids"], right["input_ids"])
        for left, right in zip(one, other, strict=True)
    )
