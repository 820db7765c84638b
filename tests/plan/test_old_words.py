"""The shipped configs plan the same runs as before their words changed; see old_words.py."""

import hashlib
from pathlib import Path

import pytest
import yaml

from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import possible_plan
from tests.plan.old_words import old_ids, renamed

# Numbers of runs and skipped combinations, SHA-256 of both: as commit 7c0ac4e planned, had all data
# been there. A raised version or a changed config moves an id: then these lines have done their work, and go.
OLD_PLANS = {
    "paper": (1868, 0, "eca171c659e9665e8c20a34fea3a50b2ded87fa866853d3f089e53cf08b61177"),
    "pretraining": (114, 0, "9f87e13c7012099777a04d85544356fa61cd8ea67e2476a1ca0668287588f25d"),
    "real-mini": (15, 0, "cfa3af4872f97bfdd9598fd7fa665fde014ac380c0cff523692be35e229312b3"),
    "smoke": (15, 0, "2c80b7ce1027f875be548a9dc003c1dacf139d183013635450dee4ded4219417"),
}


@pytest.mark.parametrize("name", OLD_PLANS)
def test_the_shipped_configs_plan_what_they_planned(repository: Path, name: str) -> None:
    plan = possible_plan(load_config(repository / f"configs/{name}.yaml"))
    ids = old_ids(plan)
    lines = sorted(ids) + [f"{skip.setting}: {skip.reason}" for skip in plan.skipped]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert (len(ids), len(plan.skipped), digest) == OLD_PLANS[name]


OLD_CONFIG = """
fix: inner_width
heads: {teacher: [8], student: [2]}
weights: {ce: 1.0, attention: 4.0}
models:
  vlt5:
    teacher: {width: 64, init: random, weights: {vl: [vl-t5.pth]}}
    students: {small: {width: 48, init: inherit, weights: {text: [t5]}}}
  blip: {student: {width: 64, init: remap}}
losses:
  - {name: student_mean, variant: mse, weights: {attention: 2.0}}
  - {name: amad, variant: kl}
cells: [{family: vlt5}]
"""
NEW_CONFIG = """
heads: {teacher: [8], student: [2], keep: inner_width}
loss_weights: {ce: 1.0, attention: 4.0}
models:
  vlt5:
    teacher: {width: 64, cut: none, checkpoints: {vl: [vl-t5.pth]}}
    students: {small: {width: 48, cut: inherit, checkpoints: {text: [t5]}}}
  blip: {student: {width: 64, cut: remap}}
losses:
  - {name: student_mean, distance: mse, loss_weights: {attention: 2.0}}
  - {name: amad, variant: kl}
tasks: [{family: vlt5}]
"""


def test_a_config_of_then_has_its_words_now() -> None:
    assert renamed(yaml.safe_load(OLD_CONFIG)) == yaml.safe_load(NEW_CONFIG)
