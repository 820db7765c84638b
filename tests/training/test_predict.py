"""The controls: shuffled images and the majority answer."""

import json
from dataclasses import replace

import numpy as np

from amad_bench.data.prepare import load_task_data
from amad_bench.runtime.paths import run_dir
from amad_bench.training import predict
from amad_bench.training.predict import _majority, _shuffled_images
from amad_bench.training.run import train_run
from tests.training.conftest import pick


def test_shuffled_images_are_all_wrong_and_the_missing_stay_missing():
    rows = np.array([4, 4, 7, -1, 2, 9, 2])
    shuffled = _shuffled_images(rows, seed=3)
    assert np.all((shuffled != rows)[rows >= 0])
    assert shuffled[3] == -1
    assert shuffled[0] == shuffled[1]  # one image's examples keep sharing one image
    assert set(shuffled) == set(rows)


def test_majority_is_the_most_frequent_target_and_alphabetical_on_a_tie(tiny_plan):
    train = load_task_data(pick(tiny_plan(), "vlt5", "vqa", "teacher").config).train
    answers = ["red", "two", "two", "blue", "red", "no"]
    assert _majority(replace(train, references=[[answer] for answer in answers])) == "red"
    assert _majority(replace(train, references=[[answer] for answer in [*answers, "two"]])) == "two"


def test_blind_predictions_come_from_other_images(tiny_plan, monkeypatch):
    """A decoder that prints the image's row: each example's blind row must differ from its own."""

    def rows_as_text(model, split, images, tokenizer, decoding, device, image_rows=None):
        return [str(row) for row in (split.image_rows_N if image_rows is None else image_rows)]

    monkeypatch.setattr(predict, "decode", rows_as_text)
    run = pick(tiny_plan(), "vlt5", "vqa", "teacher")
    train_run(run, "cpu")
    lines = (run_dir(run.id) / "predictions.jsonl").read_text().splitlines()
    by_split: dict[str, list[str]] = {}
    for row in map(json.loads, lines):
        by_split.setdefault(row["split"], []).append(row["prediction"])
    assert len(by_split["test"]) == len(by_split["test_blind"]) == 24
    assert all(own != other for own, other in zip(by_split["test"], by_split["test_blind"], strict=True))
    assert len(set(by_split["test_majority"])) == 1
