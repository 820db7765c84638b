"""A small valid config to be spoilt, and ways to read it."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from amad_bench.plan.config.load import load_config
from amad_bench.plan.config.schema import Config
from amad_bench.plan.grid import expand
from amad_bench.plan.plan import Plan
from amad_bench.runtime.errors import UserError

Raw = dict[str, Any]

SMALL = """
name: small
replicates: 2
datasets:
  scenes: {train_images: 100, validation_images: 10, test_images: 10, seed: 0}
models:
  vlt5:
    inputs: {kind: regions, boxes: file, crop: 8, max_regions: 8}
    teacher: {layers: 3, width: 64, feed_forward: 128, dropout: 0.0}
    student: {layers: 2, width: 48, feed_forward: 96, dropout: 0.1}
  blip:
    inputs: {kind: pixels, size: 48, patch: 8}
    teacher: {layers: 2, width: 64, feed_forward: 128, dropout: 0.0}
    student: {layers: 2, width: 64, feed_forward: 128, dropout: 0.0}
heads: {teacher: [8], student: [2]}
losses:
  - {name: ce}
  - {name: logit_kd}
  - {name: one_to_one}
  - {name: amad, variant: kl}
sites: {vlt5: [encoder.self], blip: [vision.self]}
tasks:
  - {family: vlt5, task: vqa, dataset: scenes, vocabulary: 100, decoding: {max_length: 8, beams: 1},
     teacher: &teacher {examples: all, steps: 20, batch: 8, learning_rate: 1.0e-3, warmup: 0.1,
                        weight_decay: 0.01, clip: 1.0, evaluations: 2},
     student: &student {examples: 60, steps: 10, batch: 8, learning_rate: 1.0e-3, warmup: 0.1,
                        weight_decay: 0.01, clip: 1.0, evaluations: 2}}
  - {family: blip, task: captioning, dataset: scenes, vocabulary: 100, decoding: {max_length: 20, beams: 1},
     teacher: *teacher, student: *student}
"""


# the shape of BLIP large, a sixteenth as wide, and of a student
LARGE_SIDES = {
    "vision": {"layers": 24, "width": 64, "feed_forward": 256},
    "text": {"layers": 12, "width": 48, "feed_forward": 192, "heads": [12]},
    "dropout": 0.0,
}
SMALL_SIDES = {
    "vision": {"layers": 4, "width": 32, "feed_forward": 128},
    "text": {"layers": 2, "width": 24, "feed_forward": 96, "heads": [6]},
    "dropout": 0.0,
}


@pytest.fixture
def raw() -> Raw:
    """A fresh copy of the small config; its mappings are not shared between tasks."""
    config = yaml.safe_load(SMALL)
    for entry in config["tasks"]:
        entry["teacher"], entry["student"] = dict(entry["teacher"]), dict(entry["student"])
    return config


@pytest.fixture
def sided(raw: Raw) -> Raw:
    """BLIP captions: teachers like BLIP large, students of two sides; vision heads 16 to 8 or 2 are swept."""
    raw["models"].pop("vlt5")
    raw["sites"].pop("vlt5")
    raw["tasks"] = raw["tasks"][1:]
    raw["heads"] = {"teacher": [16], "student": [8, 2]}
    raw["models"]["blip"] |= {"teacher": deepcopy(LARGE_SIDES), "student": deepcopy(SMALL_SIDES)}
    return raw


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    def write(config: Any) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False))
        return path

    return write


@pytest.fixture
def load(write: Callable[[Any], Path]) -> Callable[[Any], Config]:
    return lambda config: load_config(write(config))


@pytest.fixture
def planned(load: Callable[[Any], Config]) -> Callable[[Any], Plan]:
    return lambda config: expand(load(config))


@pytest.fixture
def errors(load: Callable[[Any], Config]) -> Callable[[Any], list[str]]:
    """The error lines of a config, without the file's name; every line is checked to begin with it."""

    def errors(config: Any) -> list[str]:
        with pytest.raises(UserError) as caught:
            load(config)
        lines = caught.value.messages
        assert all("\n" not in line and "config.yaml: " in line for line in lines)
        return [line.split("config.yaml: ", 1)[1] for line in lines]

    return errors
