"""A small scenes data set, generated once, and run configs that ask for it."""

from pathlib import Path
from typing import Any

import pytest

from amad_bench.data.sources.examples import write_dataset
from amad_bench.plan.run_config import RunConfig
from tests.planned import planned_config, planned_dataset


@pytest.fixture(scope="session")
def scenes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only by agreement: tests that break files copy it."""
    folder = tmp_path_factory.mktemp("scenes")
    write_dataset(planned_dataset("scenes"), folder)
    return folder


@pytest.fixture
def scenes_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """run_config(family, task): a teacher's for the small scenes, in an empty working directory.

    small: as `tests.planned.small_config` takes it.
    """
    monkeypatch.chdir(tmp_path)

    def run_config(family: str, task: str, limit: dict[str, int] | None = None, **small: Any) -> RunConfig:
        return planned_config(family, task, limit=limit, **small)

    return run_config


@pytest.fixture
def pretrain_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """run_config(family, condition): that of a pre-training, likewise."""
    monkeypatch.chdir(tmp_path)

    def run_config(
        family: str, condition: str, limit: dict[str, int] | None = None, vocabulary: int = 400, **small: Any
    ) -> RunConfig:
        shared = {"kind": "pretrain", "condition": condition, "vocabulary": vocabulary}
        return planned_config(family, "vqa", limit=limit, **shared, **small)

    return run_config
