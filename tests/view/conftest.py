"""A small sweep, and descriptions of what processes do."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from amad_bench.plan.config.schema import Config
from amad_bench.plan.grid import expand
from amad_bench.plan.plan import Plan
from amad_bench.runtime.results import ResultsFolder
from amad_bench.runtime.run_folder.live import Live
from tests.plan.conftest import SMALL


@pytest.fixture
def results(tmp_path: Path) -> ResultsFolder:
    return ResultsFolder(tmp_path / "results")


@pytest.fixture
def plan() -> Plan:
    """vlt5 vqa scenes: a teacher, two students of `ce` and two of `amad_kl`."""
    raw = yaml.safe_load(SMALL)
    raw |= {"tasks": raw["tasks"][:1], "losses": [{"name": "ce"}, {"name": "amad"}], "replicates": 2}
    raw["models"].pop("blip")
    raw["sites"].pop("blip")
    return expand(Config.model_validate(raw))


def live(**changes: object) -> Live:
    """A training that began 60 s ago, at Unix time 1000, and has 100 of its 300 steps behind it."""
    known = {"state": "running", "phase": "training", "step": 100, "steps": 300, "loss": 2.34567}
    known |= {"steps_per_second": 10.0, "since": 940.0, "updated": 1000.0, "pid": 7, "host": "here"}
    return Live(**(known | changes))  # pyright: ignore[reportArgumentType]


@pytest.fixture
def make_live() -> Callable[..., Live]:
    return live
