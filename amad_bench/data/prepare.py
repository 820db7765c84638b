"""Preparation of the data of any run."""

from pathlib import Path

from amad_bench.data.pretraining.data import prepare_pretraining
from amad_bench.data.tasks.prepare import prepare_task
from amad_bench.plan.run_config import RunConfig


def prepare(config: RunConfig) -> Path:
    """The prepared folder of a run's data; made when absent. Safe and strict as `prepare_task`."""
    return prepare_pretraining(config) if config.kind == "pretrain" else prepare_task(config)
