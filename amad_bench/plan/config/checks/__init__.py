"""Meaning of the values of a config together; each of them is right by itself (config/schema.py)."""

from amad_bench.plan.config.checks.claims import check_claims
from amad_bench.plan.config.checks.datasets import check_datasets
from amad_bench.plan.config.checks.grid import check_grid
from amad_bench.plan.config.checks.losses import check_losses
from amad_bench.plan.config.checks.models import check_models
from amad_bench.plan.config.checks.pretraining import check_pretraining
from amad_bench.plan.config.checks.sharing import check_sharing
from amad_bench.plan.config.checks.tasks import check_tasks
from amad_bench.plan.config.schema import Config


def check_meaning(config: Config) -> list[str]:
    """Messages without the file's name, in the order of the file's usual keys."""
    found = [
        *check_sharing(config),
        *check_datasets(config),
        *check_models(config),
        *check_pretraining(config),
        *check_losses(config),
        *check_tasks(config),
        *check_claims(config),
        *check_grid(config),
    ]
    return list(dict.fromkeys(found))  # two task entries may lack the same
