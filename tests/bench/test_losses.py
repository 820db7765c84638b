from functools import partial

import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from amad_bench.bench import losses, measuring
from amad_bench.bench.losses import Shape, bench_losses
from amad_bench.bench.naive_losses import (
    naive_amad,
    naive_head_mean,
    naive_one_to_one,
    naive_student_mean,
)
from amad_bench.cli import main
from amad_bench.losses import amad_loss, chunked, head_mean_loss, one_to_one_loss, student_mean_loss
from tests.losses.cases import MASKS, make_case, value_and_gradients

FORMULAS = (
    *((naive_amad, amad_loss, {"variant": name}) for name in ("mse", "kl", "token")),
    *((naive_student_mean, student_mean_loss, {"distance": name}) for name in ("mse", "kl")),
    (naive_head_mean, head_mean_loss, {}),
    (naive_one_to_one, partial(one_to_one_loss, drop="extra"), {}),
)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(("naive", "ours", "options"), FORMULAS)
def test_the_naive_formula_is_the_same_loss(naive, ours, options, mask):
    case = make_case("H < G", mask, sharpness=1.0)
    pair = case.teacher_BHQK.float(), case.student_BGQK.float()
    expected = value_and_gradients(ours, *pair, **case.masks, **options)
    entries = None if mask == "none" else case.valid_BQK[:, None]
    got = value_and_gradients(naive, *pair, entries, **options)
    assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_what_is_measured(monkeypatch):
    monkeypatch.setattr(chunked, "CPU_CHUNK", 2**14)
    monkeypatch.setattr(losses, "LARGE", 0)
    monkeypatch.setattr(measuring, "COPIED_MIB", 1)
    shape = Shape(2, 4, 3, 100, 90)
    threads = torch.get_num_threads()
    table = pd.DataFrame(bench_losses(1, [shape], rounds=2))
    assert torch.get_num_threads() == threads
    table = table[table["device"] == "cpu"]
    assert len(table) == len(losses.PROVIDERS)
    assert not table.duplicated(["method", "provider"]).any()
    assert (table[["B", "H", "G", "Q", "K"]].to_numpy() == shape).all()
    assert (table["dtype"] == "float32").all()
    assert (table["threads"] == 1).all()
    assert (table["p20_ms"] > 0).all()
    assert (table["p20_ms"] <= table["p50_ms"]).all()
    assert (table["p50_ms"] <= table["p80_ms"]).all()
    map_mib = 2 * 100 * 90 * 4 / 2**20
    assert table["moved_mib"].tolist() == pytest.approx([(2 * 4 + 3 * 3) * map_mib] * len(table))
    seconds = table["moved_mib"] / 2**10 / table["copy_gib_s"]
    assert (1e3 * seconds).tolist() == pytest.approx(table["floor_ms"].tolist())
    assert (table["extra_mib"] > 3 * map_mib).all()  # the gradient at least
    extra = table.set_index(["method", "provider"])["extra_mib"]
    for method in ("amad mse", "amad kl", "amad token", "student_mean mse", "student_mean kl"):
        assert extra[method, "ours"] < 0.5 * extra[method, "naive"]  # allocations, the same on every machine


def test_the_command_writes_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(losses, "bench_losses", lambda threads: [{"method": "amad kl", "threads": threads}])
    assert main(["bench", "losses", "--threads", "3"]) == 0
    assert "amad kl" in capsys.readouterr().out
    table = pd.read_csv("results/bench/losses.csv")
    assert table["threads"].tolist() == [3]
    assert {"commit", "torch", "cpu"} <= set(table.columns)
    assert main(["bench", "losses", "--threads", "0"]) == 2
    assert "--threads: expected a number from 1 to 1,024, found 0" in capsys.readouterr().err
