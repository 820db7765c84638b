"""The test split, read once at the end of a run: predictions, the controls' predictions, and their scores."""

import json
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from amad_bench.data.task_data import Split, TaskData
from amad_bench.plan.catalogue import primary_metric
from amad_bench.plan.run import Run
from amad_bench.runtime.errors import RunFailed
from amad_bench.runtime.files import write_parquet_atomic, write_text_atomic
from amad_bench.runtime.paths import run_dir
from amad_bench.scoring.decode import decode
from amad_bench.scoring.score_run import SCORE_COLUMNS, score_predictions


def predict_and_score(run: Run, model: nn.Module, data: TaskData, device: torch.device) -> dict[str, str]:
    """Writes predictions.jsonl and scores.parquet; returns the signatures of the metrics that have one.

    Splits: `test`; and where the config asks for controls `test_blind`, with the images shuffled, and
    `test_majority`, the most frequent target of the training split. Raises RunFailed("metric_unavailable")
    after all other scores are written.
    """
    config, folder = run.config, run_dir(run.id)

    def predictions(image_rows: np.ndarray | None = None) -> list[str]:
        return decode(
            model, data.test, data.images, data.tokenizer, config["decoding"], device, image_rows=image_rows
        )

    predicted = {"test": predictions()}
    if config["controls"]:
        shuffled = _shuffled_images(data.test.image_rows_N, config["seeds"]["blind"])
        predicted["test_blind"] = predictions(shuffled)
        predicted["test_majority"] = [_majority(data.train)] * len(data.test)
    rows = {split: _rows(data.test, split, texts) for split, texts in predicted.items()}
    lines = [json.dumps(row, ensure_ascii=False) for split_rows in rows.values() for row in split_rows]
    write_text_atomic(folder / "predictions.jsonl", "\n".join(lines) + "\n")

    metric = primary_metric(config["task"], config["dataset"]["name"])
    scored = {
        split: score_predictions(config["task"], metric, split_rows) for split, split_rows in rows.items()
    }
    frames = [part.frame.assign(split=split) for split, part in scored.items()]
    scores = pd.concat(frames, ignore_index=True).assign(run_id=run.id)
    write_parquet_atomic(folder / "scores.parquet", scores.reindex(columns=SCORE_COLUMNS))
    unavailable = scored["test"].unavailable
    if unavailable:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in unavailable.items())
        raise RunFailed("metric_unavailable", reasons)
    return scored["test"].signatures


def _rows(split: Split, name: str, texts: list[str]) -> list[dict[str, Any]]:
    columns = zip(split.example_ids, split.cluster_ids, texts, split.references, strict=True)
    return [
        {
            "split": name,
            "example_id": example,
            "cluster_id": cluster,
            "prediction": text,
            "references": references,
        }
        for example, cluster, text, references in columns
    ]


def _shuffled_images(image_rows_N: np.ndarray, seed: int) -> np.ndarray:
    """Every image replaced by another one (a random cycle through all of them); -1, no image, stays."""
    images = np.random.default_rng(seed).permutation(np.unique(image_rows_N[image_rows_N >= 0]))
    successor = dict(zip(images.tolist(), np.roll(images, 1).tolist(), strict=True))
    return np.array([successor.get(int(row), -1) for row in image_rows_N])


def _majority(train: Split) -> str:
    """The most frequent target of the training split; the first in alphabetical order on a tie."""
    counts = Counter(references[0] for references in train.references)
    return min(counts, key=lambda text: (-counts[text], text))
