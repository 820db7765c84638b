"""The benchmark of losses from queries and keys: its rows, its figure, its command."""

import pandas as pd
import pytest
import torch

from amad_bench.bench import measuring
from amad_bench.bench.attention import losses
from amad_bench.bench.attention.cases import METHODS, Method, Shape
from amad_bench.bench.attention.figure import draw_attention
from amad_bench.bench.attention.losses import bench_attention, grid
from amad_bench.cli import main

KL = [method for method in METHODS if method.label == "amad kl"]


@pytest.fixture(autouse=True)
def _small_copies(monkeypatch):  # pyright: ignore[reportUnusedFunction]
    monkeypatch.setattr(measuring, "COPIED_MIB", 1)


def test_the_grid():
    shapes = grid("cpu")
    assert len(shapes) == len(set(shapes)) == 16
    assert Shape(4, 12, 8, 577, 64, 96) in shapes
    assert [shape.tokens for shape in shapes] == sorted(shape.tokens for shape in shapes)


def test_what_is_measured():
    shape = Shape(2, 4, 2, 12, 8, 16)
    table = pd.DataFrame(bench_attention("cpu", [shape], rounds=2))
    assert set(table["method"]) == {method.label for method in METHODS}
    assert not table.duplicated(["method", "provider"]).any()
    assert table["problem"].isna().all()
    assert (table[["B", "H", "G", "N"]].to_numpy() == (2, 4, 2, 12)).all()
    assert (table["best_ms"] <= table["p50_ms"]).all()
    naive = table[table["provider"] == "naive"]
    assert (naive["time_over_naive"] == 1).all()
    assert (naive["memory_over_naive"] == 1).all()
    ratios = table["best_ms"] / table["floor_ms"]
    assert ratios.tolist() == pytest.approx(table["over_floor"].tolist())
    plain = table[table["method"] == "amad kl"]
    assert plain["least_mib"].tolist() == pytest.approx([2 * 2 * 12 * 32 * 4 / 2**20] * len(plain))
    assert (table["extra_mib"] >= table["least_mib"]).all()


def test_a_provider_that_cannot_is_a_row():
    def no_memory(_teacher, _student):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    method = Method("amad kl", "amad", no_memory, {"variant": "kl"})
    naive, *others = bench_attention("cpu", [Shape(1, 2, 2, 4, 8, 8)], [method], rounds=1)
    assert (naive["provider"], naive["problem"]) == ("naive", "out of memory")
    assert "best_ms" not in naive
    assert all(row["problem"] is None and row["time_over_naive"] is None for row in others)


@pytest.mark.slow
def test_chunks_hold_no_whole_map():
    """Allocations, which are the same on every machine: at most 1/8 of those of naive autograd."""
    rows = bench_attention("cpu", [Shape.of_width(4, 12, 8, 577)], KL, rounds=1)
    share = {row["provider"]: row["memory_over_naive"] for row in rows}
    assert share["chunked"] <= 1 / 8
    assert share["chunked"] < share["dense"] < 1


def test_a_figure(tmp_path):
    shapes = [Shape(1, 12, 8, tokens, 2, 3) for tokens in (8, 16)]
    rows = list(bench_attention("cpu", shapes, KL, rounds=1))
    pdf, png = draw_attention(rows, tmp_path / "attention")
    assert pdf.read_bytes().startswith(b"%PDF")
    assert png.read_bytes().startswith(b"\x89PNG")
    others = [row | {"H": 16} for row in rows]
    assert draw_attention(others, tmp_path / "others") == []
    assert draw_attention([], tmp_path / "nothing") == []
    assert [*tmp_path.iterdir()] == [pdf, png] or [*tmp_path.iterdir()] == [png, pdf]


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(losses, "grid", lambda _device: [Shape(1, 12, 8, 8, 2, 3)])
    assert main(["bench", "attention", "--device", "cpu", "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    assert "memory_over_naive" in shown
    assert "results/bench/attention.png" in shown
    table = pd.read_csv("results/bench/attention.csv")
    assert set(table["provider"]) == {"naive", "dense", "chunked"}
    assert {"commit", "torch", "cpu"} <= set(table.columns)
    assert main(["bench", "attention", "--threads", "0"]) == 2
    assert "--threads: expected a number from 1" in capsys.readouterr().err
