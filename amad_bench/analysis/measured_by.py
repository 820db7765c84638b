"""Data sets and metrics of runs as tables name them."""

import json
from collections.abc import Sequence

from amad_bench.plan.catalogue import METRICS, Dataset, metrics_of, record_of


def dataset_of(dataset: str, dataset_options: str) -> Dataset:
    """The record of a data set by its columns in `runs`."""
    return record_of(dataset, json.loads(dataset_options))


def measured_by(task: str, dataset: Dataset, asked: Sequence[str]) -> list[str]:
    """The metrics that every run has, then the extra ones that are asked for."""
    return [*metrics_of(task, dataset), *(name for name in asked if METRICS[name].fits(task, dataset))]
