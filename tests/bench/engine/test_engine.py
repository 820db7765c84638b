"""The engine's benchmark: what it measures, on a CPU and tiny models."""

import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from amad_bench.bench import measuring, training_steps
from amad_bench.bench.engine.products import bench_products
from amad_bench.bench.engine.small_runs import _started, bench_small_runs
from amad_bench.bench.engine.steps import bench_engine_steps, chosen, covered
from amad_bench.bench.engine.synthetic import synthetic_data
from amad_bench.bench.losses import Shape
from amad_bench.cli import main
from amad_bench.data.tasks.batches import make_batch
from amad_bench.plan.config.load import load_config
from amad_bench.plan.cost.data_facts import data_facts
from amad_bench.plan.cost.speeds import peak_rate
from amad_bench.plan.grid import possible_plan
from tests.training.conftest import tiny_plan  # noqa: F401 (a fixture)


@pytest.fixture(autouse=True)
def _small_copies(monkeypatch):  # pyright: ignore[reportUnusedFunction]
    monkeypatch.setattr(measuring, "COPIED_MIB", 1)


def test_students_of_the_paper(repository, monkeypatch):
    monkeypatch.delenv("AMAD_DATA", raising=False)
    plan = possible_plan(load_config(repository / "configs/paper-core.yaml"))
    found = [
        (
            run.config.family,
            run.config.task,
            run.config.model.layers,
            run.config.model.heads,
            run.config.loss.label,
        )
        for runs in chosen(plan, ("ce", "logit_kd", "amad_kl"))
        for run in runs
    ]
    assert found == [
        (family, "vqa", 12, 4, label)
        for family in ("vlt5", "blip")
        for label in ("ce", "logit_kd", "amad_kl")
    ]


@pytest.mark.parametrize(
    ("family", "images"),
    [
        ("vlt5", {"vis_feats": (3, 36, 2048), "boxes": (3, 36, 4), "vis_attention_mask": (3, 36)}),
        ("blip", {"pixel_values": (3, 3, 480, 480)}),
    ],
)
def test_examples_have_the_shapes_of_the_papers(family, images, repository, monkeypatch):
    monkeypatch.delenv("AMAD_DATA", raising=False)
    plan = possible_plan(load_config(repository / "configs/paper-core.yaml"))
    config = next(run.config for run in plan.runs if (run.config.family, run.config.task) == (family, "vqa"))
    facts = data_facts(config)
    data = synthetic_data(config, facts, 5)
    batch = make_batch(data.train, data.images, np.array([4, 0, 2]), "cpu")
    ids = {"input_ids": (3, facts.source), "attention_mask": (3, facts.source)}
    assert {name: tuple(tensor.shape) for name, tensor in batch.inputs.items()} == images | ids
    assert batch.labels_BL.shape == (3, facts.target)
    assert data.tokenizer.size == facts.vocabulary > int(batch.inputs["input_ids"].max())
    assert batch.padding_share == 0


@pytest.mark.slow
def test_steps(tiny_plan):  # noqa: F811
    table = pd.DataFrame(bench_engine_steps(tiny_plan(), "cpu", ("ce", "amad_kl"), rounds=2))
    assert not table.duplicated(["family", "loss", "precision"]).any()
    assert set(table["precision"]) == {"fp32", "bf16"}
    assert set(table["loss"]) == {"ce", "amad_kl"}
    assert (table["micro_batch"] == table["batch"]).all()
    assert (table["p50_ms"] > 0).all()
    assert np.allclose(table["examples_s"] * table["p50_ms"], 1e3 * table["batch"])
    assert table["mfu"].isna().all()
    assert table["idle"].isna().all()


def test_where_nothing_fits_the_row_says_so(tiny_plan, monkeypatch):  # noqa: F811
    def no_memory(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(training_steps, "accumulated_step", no_memory)
    rows = list(bench_engine_steps(tiny_plan(), "cpu", ("ce",), rounds=1))
    assert [row["family"] for row in rows] == ["vlt5", "vlt5", "blip", "blip"]
    assert [row["micro_batch"] for row in rows] == [0, 0, 0, 0]
    assert not any("p50_ms" in row for row in rows)


def test_products_beside_a_loop():
    shape = Shape(2, 3, 2, 7, 5)
    rows = {row["case"]: row for row in bench_products("cpu", shape, rounds=1)}
    assert rows["one product, float64"]["error"] == 0
    assert 0 < rows["one product, float32"]["error"] < 1e-5
    assert 0 <= rows["as the losses take them"]["error"] < 1e-5
    # <t_h, s_g> for 3 x 2 pairs and <s_g, s_m> for 2 x 2, of 35 entries, in 2 samples
    operations = 2 * 2 * 35 * (3 * 2 + 2 * 2)
    for row in rows.values():
        assert row["tflop_s"] * 1e12 * row["p50_ms"] / 1e3 == pytest.approx(operations)


def test_time_that_spans_cover():
    assert covered([]) == 0
    assert covered([(5, 6), (0, 2), (1, 3), (1.5, 1.75)]) == 4
    assert covered([(0, 1), (1, 2)]) == 2


def test_rates_that_makers_state():
    assert peak_rate("NVIDIA H200", "bf16") == 989e12
    assert peak_rate("NVIDIA H100 80GB HBM3", "fp32") == 67e12
    assert peak_rate("NVIDIA A100-SXM4-80GB", "bf16") == 312e12
    assert peak_rate("AMD EPYC", "fp32") is None


@pytest.mark.slow
def test_small_runs(tmp_path: Path):
    rows = bench_small_runs("cpu", tmp_path / "files", runs=2, steps=2)
    assert [row["case"] for row in rows] == ["one after another", "all at once"]
    for row in rows:
        assert row["per_second"] == pytest.approx(4 / row["seconds"])
    assert len([*(tmp_path / "files").glob("*/results/runs/*/scores.parquet")]) == 4


def test_a_small_run_that_fails_leaves_no_other_behind(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), _started(["sleep", "60"], tmp_path, tmp_path / "log") as other:
        raise ZeroDivisionError
    assert other.returncode == -signal.SIGTERM


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_without_the_device_nothing_is_started(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "engine", "--device", "cuda"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("amad-bench: error: device: cuda was asked for, but torch sees no CUDA device")
    assert not any(tmp_path.iterdir())
