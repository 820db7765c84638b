"""Meaning of the values of a config together; each of them is right by itself (config/schema.py)."""

from collections.abc import Iterator

from amad_bench.plan.catalogue import DATASETS
from amad_bench.plan.catalogue.options import check_options
from amad_bench.plan.config.checks.losses import check_losses
from amad_bench.plan.config.checks.models import check_models
from amad_bench.plan.config.checks.pretraining import check_pretraining
from amad_bench.plan.config.checks.sharing import check_sharing
from amad_bench.plan.config.checks.tasks import check_tasks
from amad_bench.plan.config.schema import Config, DatasetEntry


def check_meaning(config: Config) -> list[str]:
    """Messages without the file's name, in the order of the file's usual keys."""
    found = [
        *check_sharing(config),
        *_datasets(config),
        *check_models(config),
        *check_pretraining(config),
        *check_losses(config),
        *check_tasks(config),
    ]
    return list(dict.fromkeys(found))  # two task entries may lack the same


def _datasets(config: Config) -> Iterator[str]:
    for name, entry in config.datasets.items():
        own = tuple(DatasetEntry.model_fields)
        yield from check_options(f"datasets.{name}", entry.given, DATASETS[name].options, own)
