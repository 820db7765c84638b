"""The shipped configs plan the same runs as before their words changed; see old_words.py."""

import hashlib
from pathlib import Path

import pytest

from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import possible_plan
from tests.plan.old_words import old_ids

# Numbers of runs and skipped combinations, SHA-256 of the sorted ids: as commit 7c0ac4e planned, had all data
# been there. A raised version or a changed config moves an id: then these lines have done their work, and go.
OLD_PLANS = {
    "default": (55, 0, "b6f25dda99d1d8243bcae578dc37a356d38491560ce0a70237e5c98f943dc113"),
    "methods": (52, 1, "1438fe82deb60a13d955dc0a21d66737bee922406dabe9e10177bd3894c964b8"),
    "paper": (1868, 0, "eca171c659e9665e8c20a34fea3a50b2ded87fa866853d3f089e53cf08b61177"),
    "pretraining": (114, 0, "9f87e13c7012099777a04d85544356fa61cd8ea67e2476a1ca0668287588f25d"),
    "real-mini": (15, 0, "cfa3af4872f97bfdd9598fd7fa665fde014ac380c0cff523692be35e229312b3"),
    "smoke": (15, 0, "2c80b7ce1027f875be548a9dc003c1dacf139d183013635450dee4ded4219417"),
}


@pytest.mark.parametrize("name", OLD_PLANS)
def test_the_shipped_configs_plan_what_they_planned(repository: Path, name: str) -> None:
    plan = possible_plan(load_config(repository / f"configs/{name}.yaml"))
    ids = sorted(old_ids(plan).values())
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    assert (len(ids), len(plan.skipped), digest) == OLD_PLANS[name]
