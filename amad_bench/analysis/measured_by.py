"""The metrics of runs as tables name them, by task and data set."""

from collections.abc import Sequence

from amad_bench.plan.catalogue import DATASETS, METRICS, Dataset, metrics_of, primary_metric
from amad_bench.plan.plan import Plan


def dataset_named(name: str) -> Dataset:
    """The record of a data set in a table's column `dataset`."""
    return DATASETS[name]


def primary_of(task: str, dataset: str) -> str:
    """The metric that comparisons are made on."""
    return primary_metric(task, dataset_named(dataset))


def measured_by(task: str, dataset: str, asked: Sequence[str]) -> list[str]:
    """The metrics that every run has, then the extra ones that are asked for."""
    record = dataset_named(dataset)
    return [*metrics_of(task, record), *(name for name in asked if METRICS[name].fits(task, record))]


def runs_measured_by(metric: str, plan: Plan) -> list[str]:
    """The ids of the plan's runs whose outputs the metric can measure."""
    of = METRICS[metric]
    return [run.id for run in plan.runs if of.fits(run.config.task, dataset_named(run.config.dataset.name))]
