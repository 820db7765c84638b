"""Conditions under which a training step can be shared; the sharing itself is in test_ranks.py."""

import numpy as np
import pytest
import torch

from amad_bench.data.tasks.batches import make_batch
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.models.attention.recorder import record
from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import expand
from amad_bench.runtime.ranks import ALONE, Ranks
from amad_bench.training.distill import Objective
from amad_bench.training.parallel import ParallelStep, dropout_seed
from amad_bench.training.run_model import started_model
from amad_bench.training.step import TrainStep
from tests.conftest import REPOSITORY

ENTRIES = [
    ("vlt5", "vqa"),
    ("vlt5", "captioning"),
    ("vlt5", "translation"),
    ("blip", "vqa"),
    ("blip", "captioning"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "task"), ENTRIES)
def test_every_parameter_takes_part_in_every_step(tmp_path, monkeypatch, family, task):
    """Else a rank would wait for a gradient that never comes (`find_unused_parameters` is off)."""
    plan = expand(load_config(REPOSITORY / "configs/default.yaml"))
    run = next(
        run
        for run in plan.runs
        if (run.config.family, run.config.task, run.kind) == (family, task, "teacher")
    )
    monkeypatch.chdir(tmp_path)
    data = load_task_data(run.config)
    model, objective = started_model(run, data).model, Objective(run.config.loss, 0)
    rows = np.arange(2)
    with record(model, objective.sites) as recorder:
        step = ParallelStep(TrainStep(model, objective, recorder), ALONE)
        value = step(rows, make_batch(data.train, data.images, rows, "cpu"), 1)
        assert step.whole(value, alignment=True) is value
        value.total.backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert trained
    assert [name for name, p in trained.items() if p.grad is None] == []


def test_each_rank_has_dropout_masks_of_its_own():
    seeds = [dropout_seed(7, Ranks(rank, 8)) for rank in range(8)]
    assert seeds[0] == 7 == dropout_seed(7, ALONE)
    assert len(set(seeds)) == 8
    assert len({*seeds, *(dropout_seed(8, Ranks(rank, 8)) for rank in range(8))}) == 16
    for seed in seeds:
        torch.manual_seed(seed)
