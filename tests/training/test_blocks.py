"""Blocks with images and teachers of their own, trained: nothing of one comes from the other."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from amad_bench.analysis.collect import collect
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.training.run import train_run
from tests.training import conftest
from tests.training.conftest import run_dir


@pytest.fixture
def blocks(tiny_plan, monkeypatch):
    """Student heads -> runs of one task in the order of training, and the whole plan."""
    text = conftest.CONFIG.replace("replicates: 2", "replicates: 1\nteacher_per: block\nscenes_per: block")
    text = text.replace("student: [2]}}", "student: [2, 1]}}").split("  - {{family: blip")[0]
    monkeypatch.setattr(conftest, "CONFIG", text)
    plan = tiny_plan()
    found = defaultdict(list)
    for run in plan.runs:
        found[run.config.block.student_heads].append(run)
    return found, plan


def test_each_block_is_trained_on_its_own_images_by_its_own_teacher(blocks):
    by_heads, plan = blocks
    assert {heads: len(runs) for heads, runs in by_heads.items()} == {2: 4, 1: 4}
    seen = {}
    for heads, runs in by_heads.items():
        (seed,) = {run.config.dataset.options["seed"] for run in runs}
        (key,) = {run.data_key for run in runs}
        for run in runs:
            assert train_run(run, "cpu") == "done"
        teacher = next(run for run in runs if run.kind == "teacher")
        taught = [run.config.teacher.run_id for run in runs if run.kind == "student"]
        assert set(taught) == {None, teacher.id}
        images = load_task_data(teacher.config).images
        features = images.batch(np.arange(len(images)), "cpu")["vis_feats"].numpy()
        seen[heads] = seed, key, teacher.id, features
        stored = json.loads((run_dir(teacher.id) / "run.json").read_text())["config"]["dataset"]
        assert stored["options"]["seed"] == seed
    (seed, key, teacher, features), (seed1, key1, teacher1, features1) = seen[2], seen[1]
    assert seed != seed1
    assert key != key1
    assert teacher != teacher1
    assert features.shape == features1.shape
    assert not np.array_equal(features, features1)
    runs = collect(plan, Path("results")).runs
    assert (runs["status"] == "done").all()
    assert sorted(runs["block"].unique()) == ["4 -> 1", "4 -> 2"]
