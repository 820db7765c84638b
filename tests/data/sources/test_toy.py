"""A data set that a stranger adds: one file in data/sources and one record, from the plan to the scores."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from amad_bench.data import sources
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.plan.catalogue import DATASETS
from amad_bench.plan.catalogue.datasets import Dataset
from amad_bench.plan.catalogue.options import OptionSpec
from amad_bench.plan.grid import expand
from amad_bench.plan.plan import NothingToTrain
from amad_bench.training.run import train_run
from tests.planned import small_config

READER = '''
"""Questions about colours, a line each: split, image, question and answer between tabs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amad_bench.data.formats.records import Example, SplitSource, read_lines


def read(files: Mapping[str, Path], _task: str, options: Mapping[str, Any]) -> dict[str, SplitSource]:
    splits: dict[str, list[Example]] = {"train": [], "validation": [], "test": []}
    for number, line in enumerate(read_lines(files["table"])):
        split, image, question, answer = line.split("\\t")
        if options["shout"]:
            answer = answer.upper()
        where = f"{files['table']}: line {number + 1}"
        example = Example(str(number), image, f"{image}.png", question, answer, (answer,), where)
        splits[split].append(example)
    return {split: SplitSource(examples) for split, examples in splits.items()}
'''
RECORD = Dataset(
    "toy",
    "Toy",
    ("vqa",),
    lambda *_: {"table": "toy/table.tsv"},
    lambda _: {"photos": "toy/photos"},
    {"shout": OptionSpec(bool, False, description="whether answers are in capital letters")},
    answers="one",
)
SIZES = {"train": 12, "validation": 4, "test": 6}
COLOURS = {"red": (200, 0, 0), "blue": (0, 0, 200)}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The table of the data set; module and record are added, and go with the test."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "toy.py").write_text(READER)
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(folder)])
    monkeypatch.setitem(DATASETS, "toy", RECORD)
    photos = tmp_path / "data/toy/photos"
    photos.mkdir(parents=True)
    lines = []
    for split, size in SIZES.items():
        for number in range(size):
            colour = list(COLOURS)[number % 2]
            Image.fromarray(np.full((16, 16, 3), COLOURS[colour], np.uint8)).save(
                photos / f"{split}{number}.png"
            )
            lines.append(f"{split}\t{split}{number}\twhich colour is it?\t{colour}\n")
    table = tmp_path / "data/toy/table.tsv"
    table.write_text("".join(lines))
    monkeypatch.setenv("AMAD_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    yield table
    sys.modules.pop("amad_bench.data.sources.toy", None)


@pytest.mark.usefixtures("toy")
def test_from_the_plan_to_the_scores() -> None:
    plan = expand(small_config("vlt5", "vqa", dataset="toy", shout=True))
    assert [run.kind for run in plan.runs] == ["teacher", "student"]
    data = load_task_data(plan.runs[0].config)
    assert [len(split) for split in (data.train, data.validation, data.test)] == list(SIZES.values())
    assert {text for texts in data.test.references for text in texts} == {"RED", "BLUE"}
    assert data.facts["photos"] == SIZES
    for run in plan.runs:
        assert train_run(run, "cpu") == "done"
        scores = pd.read_parquet(Path("results/runs") / run.id / "scores.parquet")
        of_test = scores[scores["split"] == "test"]
        assert set(of_test["metric"]) == {"exact_match"}
        assert len(of_test) == SIZES["test"]
        assert json.loads((Path("results/runs") / run.id / "run.json").read_text())["config"]["dataset"][
            "options"
        ] == {"shout": True}


def test_its_content_is_its_identity(toy: Path) -> None:
    before = expand(small_config("vlt5", "vqa", dataset="toy")).runs[0]
    toy.write_text(toy.read_text().replace("colour is it", "colour is this"))
    after = expand(small_config("vlt5", "vqa", dataset="toy")).runs[0]
    assert before.config.dataset.hash != after.config.dataset.hash
    assert before.id != after.id


def test_without_its_files_it_is_skipped_with_the_reason(toy: Path) -> None:
    toy.unlink()
    with pytest.raises(NothingToTrain, match=r"missing below AMAD_DATA: toy/table\.tsv; "):
        expand(small_config("vlt5", "vqa", dataset="toy"))
