from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from amad_bench.bench import data
from amad_bench.bench.data import bench_data
from amad_bench.data.tasks.batches import make_batch
from amad_bench.data.tasks.prepare import load_task_data


def test_what_is_measured(tmp_path, monkeypatch):
    """In this process, which is quicker: 10 and 100 questions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "_in_fresh_process", lambda work, size, folder: work(size, folder))
    small, large = bench_data(100, Path("bench").resolve())
    assert (small["records"], large["records"]) == (12, 100)  # whole images of four questions
    for row in (small, large):
        assert 0 < row["first_batch_seconds"] <= row["epoch_seconds"] < 30
        assert 0 < row["imports_mib"] <= row["start_mib"] <= row["peak_mib"]
        assert row["private_mib"] <= row["peak_mib"]
        assert min(row["examples_per_s"], row["naive_per_s"]) > 0
    before = {path: path.stat().st_mtime_ns for path in Path("bench").rglob("*")}
    bench_data(100, Path("bench").resolve())
    assert {path: path.stat().st_mtime_ns for path in Path("bench").rglob("*")} == before  # kept


def test_the_naive_way_makes_the_same_examples(tmp_path, monkeypatch):
    """Else its time would say nothing."""
    monkeypatch.chdir(tmp_path)
    task = load_task_data(data._data(10))
    rows = np.array([3, 0, 11])
    (naive,) = DataLoader(data._Examples(task), batch_sampler=[rows.tolist()])
    batch = make_batch(task.train, task.images, rows, "cpu")
    expected = {**batch.inputs, "labels": batch.labels_BL}
    assert naive.keys() == expected.keys()
    for name, tensor in expected.items():  # the loader leaves out what is padding in the whole batch
        assert torch.equal(naive[name][:, : tensor.shape[1]], tensor)


def test_a_process_of_its_own(tmp_path):
    assert data._in_fresh_process(_process, 3, tmp_path)["id"] != _process(3, tmp_path)["id"]


def _process(_size: int, _folder: Path) -> dict[str, int]:
    import os

    return {"id": os.getpid()}
