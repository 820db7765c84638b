"""The test splits, read once at the end of a run: predictions, those of the controls, and their scores."""

from collections import Counter

import numpy as np
import torch
from torch import nn

from amad_bench.data.tasks.data import Split, TaskData
from amad_bench.plan.catalogue import metrics_of
from amad_bench.plan.run import Run
from amad_bench.runtime.errors import RunFailed
from amad_bench.runtime.ranks import here
from amad_bench.runtime.results import RESULTS
from amad_bench.runtime.run_folder.predictions import Prediction, write_predictions
from amad_bench.runtime.run_folder.scores import write_scores
from amad_bench.runtime.run_folder.status import Status
from amad_bench.scoring.decode import decode
from amad_bench.scoring.score_splits import score_splits
from amad_bench.training.phases import in_phase


def predict_and_score(
    run: Run, model: nn.Module, data: TaskData, device: torch.device, status: Status, workers: int = 0
) -> dict[str, str]:
    """Writes predictions.jsonl and scores.parquet; returns the signatures of the metrics that have one.

    status: gets the seconds of both; as many examples are decoded at once as were trained on. Of several
    ranks all predict, and only the first does the rest.

    Splits: `test` and the further test splits; where the config asks for controls also `test_blind`, with the
    images of `test` shuffled, and `test_majority`, the most frequent target of the training split. Where
    answers are ranked, the candidates are the targets of the training split. Raises
    RunFailed("metric_unavailable") after all other scores are written.
    """
    config, folder = run.config, RESULTS.run(run.id)
    ranked = config.answers.rank is not None
    most_frequent = by_frequency(data.train) if ranked or config.controls else []

    def predictions(split: Split, image_rows: np.ndarray | None = None) -> list[str]:
        return decode(
            model,
            split,
            data.images,
            data.tokenizer,
            config.answers,
            device,
            batch=status.micro_batch or config.training.batch,  # which is known to fit
            image_rows=image_rows,
            workers=workers,
            candidates=most_frequent if ranked else (),
            ranks=here(),
            precision=config.precision,
        )

    with in_phase(status, "predicting"):
        rows = {"test": _rows(data.test, "test", predictions(data.test))}
        if config.controls:
            shuffled = _shuffled_images(data.test.image_rows_N, config.seeds.blind)
            rows["test_blind"] = _rows(data.test, "test_blind", predictions(data.test, shuffled))
            rows["test_majority"] = _rows(data.test, "test_majority", most_frequent[:1] * len(data.test))
        for name, split in data.more_tests.items():
            rows[name] = _rows(split, name, predictions(split))
        if not here().first:
            return {}
        write_predictions(folder.predictions, [row for split_rows in rows.values() for row in split_rows])

    with in_phase(status, "scoring"):
        scored = score_splits(metrics_of(config.task, config.dataset.record), rows)
        write_scores(folder.scores, run.id, {split: part.frame for split, part in scored.items()})
    metrics_by_reason: dict[str, dict[str, None]] = {}
    for part in scored.values():
        for name, reason in part.unavailable.items():
            metrics_by_reason.setdefault(reason, {})[name] = None
    if metrics_by_reason:
        reasons = [f"{', '.join(names)}: {reason}" for reason, names in metrics_by_reason.items()]
        raise RunFailed("metric_unavailable", "; ".join(reasons))
    return scored["test"].signatures


def _rows(split: Split, name: str, texts: list[str]) -> list[Prediction]:
    columns = zip(split.example_ids, split.cluster_ids, texts, split.references, split.groups, strict=True)
    return [Prediction(name, *values) for values in columns]


def _shuffled_images(image_rows_N: np.ndarray, seed: int) -> np.ndarray:
    """Every image replaced by another one (a random cycle through all of them); -1, no image, stays."""
    images = np.random.default_rng(seed).permutation(np.unique(image_rows_N[image_rows_N >= 0]))
    successor = dict(zip(images.tolist(), np.roll(images, 1).tolist(), strict=True))
    return np.array([successor.get(int(row), -1) for row in image_rows_N])


def by_frequency(train: Split) -> list[str]:
    """The different targets of the training split, the most frequent first, then in alphabetical order."""
    counts = Counter(references[0] for references in train.references)
    return sorted(counts, key=lambda text: (-counts[text], text))
