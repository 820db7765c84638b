"""A small scenes data set, generated once, and run configs that ask for it."""

from pathlib import Path
from typing import Any

import pytest

from amad_bench.data.scenes_files import write_scenes

OPTIONS = {"train_images": 40, "validation_images": 8, "test_images": 12, "seed": 0}
REGIONS = {"kind": "regions", "boxes": "file", "crop": 8, "max_regions": 8}
PIXELS = {"kind": "pixels", "size": 48, "patch": 8, "colours": "half"}


@pytest.fixture(scope="session")
def scenes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only by agreement: tests that break files copy it."""
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, OPTIONS)
    return folder


@pytest.fixture
def scenes_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """run_config(family, task) for the small scenes, in an empty working directory."""
    monkeypatch.chdir(tmp_path)

    def run_config(family: str, task: str, limit: dict[str, int] | None = None) -> dict[str, Any]:
        dataset = {
            "name": "scenes",
            "options": OPTIONS,
            "limit": limit,
            "hash": "0123456789abcdef",
            "version": 1,
        }
        inputs = REGIONS if family == "vlt5" else PIXELS
        return {
            "family": family,
            "task": task,
            "dataset": dataset,
            "inputs": inputs,
            "tokenizer": {"vocabulary": 150},
        }

    return run_config


@pytest.fixture
def pretrain_config(scenes_config):
    """run_config(family, condition): that of a pre-training on the small scenes."""

    def run_config(family: str, condition: str, limit: dict[str, int] | None = None) -> dict[str, Any]:
        tasks = ["captioning", "translation", "vqa"] if family == "vlt5" else ["captioning", "vqa"]
        return {
            **scenes_config(family, "pretraining", limit),
            "kind": "pretrain",
            "pretraining": condition,
            "tokenizer": {"vocabulary": 400, "tasks": tasks},
        }

    return run_config
