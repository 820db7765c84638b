"""Preparation of the data of any run."""

from pathlib import Path

from amad_bench.data.pretraining.data import prepare_pretraining
from amad_bench.data.tasks.prepare import prepare_task
from amad_bench.plan.run_config import RunConfig


def prepare(config: RunConfig, image_cache_gb: float | None = None) -> Path:
    """The prepared folder of a run's data; made when absent. Safe and strict as `prepare_task`."""
    make = prepare_pretraining if config.kind == "pretrain" else prepare_task
    return make(config, image_cache_gb)
