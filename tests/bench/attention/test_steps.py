"""The benchmark of whole steps with losses of attention, on tiny models."""

import shutil

import pandas as pd
import pytest
import torch

from amad_bench.bench import measuring
from amad_bench.bench.attention import foreign, quick, steps
from amad_bench.bench.attention.foreign import Size, bench_foreign
from amad_bench.bench.attention.quick import bench_quick, must_show
from amad_bench.bench.attention.step_runs import attention_plan, run_of
from amad_bench.bench.attention.steps import Kind, bench_attention_steps, kinds, precisions_of
from amad_bench.cli import main
from tests.training.conftest import tiny_plan  # noqa: F401 (a fixture)


@pytest.fixture(autouse=True)
def _small_copies(monkeypatch):  # pyright: ignore[reportUnusedFunction]
    monkeypatch.setattr(measuring, "COPIED_MIB", 1)


def test_base_models_and_eight_heads(monkeypatch):
    monkeypatch.delenv("AMAD_DATA", raising=False)
    plan = attention_plan()
    found = {}
    for family in ("vlt5", "blip"):
        run = run_of(plan, family, "amad", 16, "uniform")
        teacher = plan.run(run.config.teacher.run_id).config.model
        own = run.config.model
        found[family] = (teacher.layers, teacher.heads, own.layers, own.heads, run.config.loss.sites)
        assert run.config.training.batch == 16
        assert run.config.loss.layer_map == "uniform"
    assert found == {
        "vlt5": (12, 12, 6, 8, ["encoder.self"]),
        "blip": (12, 12, 12, 8, ["vision.self"]),
    }
    assert run_of(plan, "blip", "logit_kd", 2).config.inputs.patches[0] == 384
    small = attention_plan(small=True)
    assert {(run.config.model.layers, run.config.model.width) for run in small.runs} == {(2, 192)}
    assert run_of(small, "blip", "logit_kd", 2).config.inputs.patches[0] == 224
    assert len(kinds(small, precisions_of("cpu"))) == 4
    assert len(kinds(small, precisions_of("cuda"))) == 8


@pytest.mark.slow
@pytest.mark.parametrize("family", ["vlt5", "blip"])
def test_what_is_measured(tiny_plan, family):  # noqa: F811
    table = pd.DataFrame(bench_attention_steps(tiny_plan(), 4, 2, "cpu", Kind(family, "fp32", False)))
    assert table["problem"].isna().all()
    assert table["layers"].tolist()[0] == "none"
    by_layers = table.groupby("layers")["pairs"].unique()
    assert {name: pairs.tolist() for name, pairs in by_layers.items()} == {"none": [0], "all": [2]}
    kernels = table.loc[table["layers"] == "all", "kernel"].tolist()
    assert kernels[:3] == ["naive", "dense", "chunked"]
    added = table[table["layers"] != "none"]
    assert (added["heads"] == "4 -> 2").all()
    assert (added["memory_share"] > 0).all()
    assert (added["added_ms"] / added["floor_ms"]).tolist() == pytest.approx(added["over_floor"].tolist())
    assert (table["peak_mib"] > 0).all()


@pytest.mark.slow
def test_steps_that_fail_are_rows_and_others_go_on(tiny_plan, monkeypatch):  # noqa: F811
    def no_memory(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(steps, "naive_loss", no_memory)
    rows = bench_attention_steps(tiny_plan(), 4, 1, "cpu", Kind("blip", "fp32", False))
    failed = [row for row in rows if row["problem"] is not None]
    assert [(row["layers"], row["kernel"]) for row in failed] == [("all", "naive")]
    assert {row["problem"] for row in failed} == {"out of memory"}
    assert all(row["added_share"] is not None for row in rows[1:] if row not in failed)
    assert all("p50_ms" not in row for row in failed)


def _row(layers, compiled, share, memory):
    facts = {"family": "f", "precision": "bf16", "batch": 2, "N": 9, "kernel": "dense", "problem": None}
    measured = {"added_ms": 1.0, "added_share": share, "memory_share": memory, "floor_ms": 1, "over_floor": 1}
    return facts | measured | {"layers": layers, "compiled": compiled}


def test_what_must_be_shown():
    rows = [
        _row("none", False, None, None),
        _row("all", False, 0.25, 0.1),
        _row("all", False, 0.26, 0.1),
        _row("all", False, 0.1, 0.11),
        _row("all", True, 0.4, 0.1),
        _row("all", True, 0.41, 0.1),
        _row("last", True, 0.08, 3.0),
        _row("last", False, 0.081, 0.0),
        {"layers": "all", "compiled": False, "problem": "out of memory"},
    ]
    assert [row["met"] for row in must_show(rows)] == ["yes", "no", "no", "yes", "no", "yes", "no"]


def test_parts_come_by_weight_and_stop_in_time(tiny_plan, monkeypatch):  # noqa: F811
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(quick.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(quick, "bench_attention_steps", lambda *args: [{"kind": args[-1]}])
    monkeypatch.setattr(quick, "bench_attention", lambda *args: iter([{"shapes": args[1]}]))
    monkeypatch.setattr(quick, "bench_foreign", lambda _device: iter([{"model": "x"}]))
    parts = list(bench_quick(tiny_plan(), 2, 1, "cpu", last_start_s=65))
    eager, drawn, compiled = parts[:3]
    assert eager == ("steps", [{"kind": Kind("blip", "bf16", False)}])
    assert compiled == ("steps", [{"kind": Kind("blip", "bf16", True)}])
    assert drawn[0] == "losses"
    assert [shape.tokens for shape in drawn[1][0]["shapes"]] == [56, 197, 577, 901]
    assert [bool(rows) for _, rows in parts] == [True] * 6 + [False] * (len(parts) - 6)
    assert {name for name, _ in parts} == {"steps", "losses", "foreign"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile calls g++")
@pytest.mark.filterwarnings("ignore:`torch.jit")  # torch's compiler itself calls what torch deprecates
def test_foreign_models():
    size = Size(batch=2, tokens=16, depth=1, width=64)
    table = pd.DataFrame(bench_foreign("cpu", size, rounds=2))
    assert len(table) == 6
    assert table["compiled"].tolist() == [False, True] * 3
    assert (table.loc[table["compiled"], "graphs"] == 1).all()
    assert (table["steps_s"] > 0).all()


def test_the_command(tiny_plan, monkeypatch, capsys):  # noqa: F811
    plan = tiny_plan()
    monkeypatch.setattr(steps, "size_of", lambda _device: (plan, 4, 1))
    steps_rows = [_row("none", False, None, None), _row("all", False, 0.2, 0.1)]
    monkeypatch.setattr(steps, "bench_attention_steps", lambda *_: steps_rows)
    monkeypatch.setattr(foreign, "bench_foreign", lambda _device: [{"model": "x", "compiled": False}])
    assert main(["bench", "attention-steps", "--device", "cpu", "--threads", "1"]) == 0
    table = pd.read_csv("results/bench/attention-steps.csv")
    assert table["part"].tolist() == ["steps"] * 2 * 4 + ["foreign"]
    monkeypatch.setattr(quick, "bench_quick", lambda *_, **__: [("losses", []), ("steps", steps_rows)])
    assert main(["bench", "attention-quick", "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "losses: no time is left" in shown
    assert shown.rstrip().endswith("yes")
    assert len(pd.read_csv("results/bench/attention-quick.csv")) == 2
