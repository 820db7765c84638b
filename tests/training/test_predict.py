"""Further test splits, and the controls: shuffled images and the majority answer."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.plan.run import Run
from amad_bench.runtime.errors import RunFailed
from amad_bench.runtime.run_folder.status import Status
from amad_bench.training import predict
from amad_bench.training.predict import _shuffled_images, by_frequency, predict_and_score
from amad_bench.training.run import train_run
from amad_bench.training.run_model import fresh_model
from tests.training.conftest import pick, run_dir


def test_shuffled_images_are_all_wrong_and_the_missing_stay_missing():
    rows = np.array([4, 4, 7, -1, 2, 9, 2])
    shuffled = _shuffled_images(rows, seed=3)
    assert np.all((shuffled != rows)[rows >= 0])
    assert shuffled[3] == -1
    assert shuffled[0] == shuffled[1]  # one image's examples keep sharing one image
    assert set(shuffled) == set(rows)


@pytest.fixture
def predicted(tiny_plan, monkeypatch):
    """predicted(family, task, **changes to the TaskData) -> the run, with every prediction "two"."""

    def predict_all(family: str, task: str, **changes) -> Run:
        monkeypatch.setattr(predict, "decode", lambda _model, split, *_, **__: ["two"] * len(split))
        run = pick(tiny_plan(), family, task, "teacher")
        run_dir(run.id).mkdir(parents=True)
        data = load_task_data(run.config)
        changed = replace(data, **{name: change(data) for name, change in changes.items()})
        predict_and_score(run, torch.nn.Identity(), changed, torch.device("cpu"), Status())
        return run

    return predict_all


def predictions(run: Run) -> list[dict]:
    text = (run_dir(run.id) / "predictions.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_further_test_splits_have_predictions_and_scores_but_no_controls(predicted):
    run = predicted("vlt5", "translation", more_tests=lambda data: {"test_2017_flickr": data.validation})
    rows = predictions(run)
    assert list(dict.fromkeys(row["split"] for row in rows)) == [
        "test",
        "test_blind",
        "test_majority",
        "test_2017_flickr",
    ]
    validation = load_task_data(run.config).validation
    further = [row for row in rows if row["split"] == "test_2017_flickr"]
    assert [row["example_id"] for row in further] == list(validation.example_ids)
    assert [row["references"] for row in further] == list(validation.references)
    scores = pd.read_parquet(run_dir(run.id) / "scores.parquet")
    assert scores[scores["metric"] == "chrF2"].groupby("split").size().to_dict() == Counter(
        row["split"] for row in rows
    )


def test_rows_carry_the_groups_of_their_examples(predicted):
    def numbered(data):
        return replace(data.test, groups=[{"answer_type": f"type {i}"} for i in range(len(data.test))])

    rows = predictions(predicted("vlt5", "vqa", test=numbered))
    for split in ("test", "test_blind", "test_majority"):
        groups = [row["groups"] for row in rows if row["split"] == split]
        assert groups == [{"answer_type": f"type {i}"} for i in range(24)]


def test_unavailable_metrics_are_told_once_after_all_others_are_written(predicted, monkeypatch):
    original = predict.score_splits

    def without_ter(metrics, rows):
        scored = original(metrics, rows)
        return {
            split: replace(
                part, frame=part.frame[part.frame["metric"] != "TER"], unavailable={"TER": "no", "X": "no"}
            )
            for split, part in scored.items()
        }

    monkeypatch.setattr(predict, "score_splits", without_ter)
    with pytest.raises(RunFailed) as failed:
        predicted("vlt5", "translation")
    assert str(failed.value) == "metric_unavailable: TER, X: no"
    (path,) = Path("results/runs").glob("*/scores.parquet")
    scores = pd.read_parquet(path)
    assert set(scores["metric"]) == {"BLEU", "chrF2", "BLEU_lc"}
    assert set(scores["split"]) == {"test", "test_blind", "test_majority"}


def test_targets_by_frequency_and_alphabetical_on_a_tie(tiny_plan):
    train = load_task_data(pick(tiny_plan(), "vlt5", "vqa", "teacher").config).train
    answers = ["red", "two", "two", "blue", "red", "no"]
    assert by_frequency(replace(train, references=[[answer] for answer in answers])) == [
        "red",
        "two",
        "blue",
        "no",
    ]
    assert by_frequency(replace(train, references=[[answer] for answer in [*answers, "two"]]))[0] == "two"


def test_the_majority_control_predicts_the_most_frequent_target(predicted):
    run = predicted("vlt5", "vqa")
    counts = Counter(references[0] for references in load_task_data(run.config).train.references)
    (prediction,) = {row["prediction"] for row in predictions(run) if row["split"] == "test_majority"}
    assert counts[prediction] == max(counts.values())


@pytest.mark.parametrize("rank", [None, 3])
def test_blip_ranks_the_answers_of_the_training_split(tiny_plan, rank):
    """Every prediction, the blind ones too, is one of them; without `rank`, tiny models write others."""
    run = pick(tiny_plan(), "blip", "vqa", "teacher")
    decoding = run.config.decoding.model_copy(update={"rank": rank})
    run = replace(run, config=run.config.model_copy(update={"decoding": decoding}))
    run_dir(run.id).mkdir(parents=True)
    data = load_task_data(run.config)
    predict_and_score(run, fresh_model(run.config, data), data, torch.device("cpu"), Status())
    known = {references[0] for references in data.train.references}
    found = {row["prediction"] for row in predictions(run) if row["split"] != "test_majority"}
    assert (found <= known) == (rank is not None)


def test_blind_predictions_come_from_other_images(tiny_plan, monkeypatch):
    """A decoder that prints the image's row: each example's blind row must differ from its own."""

    def rows_as_text(_model, split, *_, image_rows=None, **__):
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
