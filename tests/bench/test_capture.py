import argparse

import pandas as pd
import pytest
import torch

from amad_bench.bench import capture, measuring
from amad_bench.bench.capture import METHODS, VisionSize, Vlt5Size, bench_capture
from amad_bench.cli.bench import bench
from amad_bench.runtime.errors import UserError

TEXT, REGIONS, TARGET = 9, 15, 5
VLT5 = Vlt5Size(4, TEXT, REGIONS, TARGET, layers=2, heads=4, width=16, vocabulary=40, feature_size=12)
VISION = VisionSize(batch=2, image=96, patch=8, layers=3, heads=4, width=16)  # 145 tokens
MIB = 4 / 2**20  # of one number


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.setattr(measuring, "COPIED_MIB", 1)
    rows = pd.DataFrame(bench_capture(1, 2, VLT5, VISION))
    return rows[rows["device"] == "cpu"]


@pytest.fixture
def tables(rows):
    """(model, pass) -> its rows by method."""
    return {key: part.set_index("method") for key, part in rows.groupby(["model", "pass"])}


def test_what_is_measured(rows):
    names = [name for name, _ in METHODS]
    passes = (("VL-T5", "forward"), ("VL-T5", "training"), ("BLIP vision", "forward"))
    measured = rows[["model", "pass", "method"]].itertuples(index=False, name=None)
    assert list(measured) == [(*one, name) for one in passes for name in names]
    assert rows[["B", "Q", "layers", "H", "d"]].drop_duplicates().to_numpy().tolist() == [
        [4, 24, 2, 4, 16],
        [2, 145, 3, 4, 16],
    ]
    assert (rows["threads"] == 1).all()
    assert (rows["p20_ms"] > 0).all()
    assert (rows["p20_ms"] <= rows["p50_ms"]).all()
    assert (rows["p50_ms"] <= rows["p80_ms"]).all()
    seconds = rows["maps_mib"] / 2**10 / rows["copy_gib_s"]
    assert (1e3 * seconds).tolist() == pytest.approx(rows["floor_ms"].tolist())


def test_what_is_held(tables):
    """By hand, in numbers: of maps B H Q K, of projections B L d each."""
    joint = TEXT + REGIONS
    vlt5_maps = 2 * 4 * 4 * (joint * joint + TARGET * TARGET + TARGET * joint)
    # three of the encoder's, three of the decoder's tokens; cross: queries of these, keys and values of those
    vlt5_projections = 2 * 4 * 16 * (3 * joint + 3 * TARGET + TARGET + 2 * joint)
    biases = 4 * (joint * joint + TARGET * TARGET + TARGET * joint)  # one for all layers
    for name in ("forward", "training"):
        held = tables["VL-T5", name]["held_mib"]
        assert held["plain"] == 0
        assert held["eager + all maps"] == pytest.approx(vlt5_maps * MIB)
        assert held["record"] == pytest.approx((vlt5_projections + biases) * MIB, rel=0.01)  # and masks
        assert held["record + last maps"] - held["record"] == pytest.approx(vlt5_maps / 2 * MIB)
    held = tables["BLIP vision", "forward"]["held_mib"]
    assert held["eager + all maps"] == pytest.approx(3 * 2 * 4 * 145 * 145 * MIB)
    assert held["record"] == pytest.approx(3 * 2 * 145 * 3 * 16 * MIB)
    assert held["record + last maps"] - held["record"] == pytest.approx(2 * 4 * 145 * 145 * MIB)


def test_recording_needs_no_more_than_it_holds_and_less_than_eager_maps_of_many_tokens(tables):
    for name in ("VL-T5", "BLIP vision"):
        table = tables[name, "forward"]
        extra = table["extra_mib"]
        assert extra["record"] - extra["plain"] <= table["held_mib"]["record"] + 0.01
    extra = tables["BLIP vision", "forward"]["extra_mib"]
    assert extra["record"] < 0.3 * extra["eager + all maps"]
    assert extra["eager + all maps"] > tables["BLIP vision", "forward"]["maps_mib"].iloc[0]


def test_both_models_of_a_subject_compute_the_same():
    for subject in (capture._vlt5(VLT5), capture._blip_vision(VISION)):
        subject.eager.load_state_dict(subject.sdpa.state_dict())
        seen = []
        for _, method in METHODS:
            subject.sdpa.eval()
            subject.eager.eval()
            with torch.no_grad():
                seen.append(method(subject))
        outputs = [
            one.output.logits if "logits" in one.output else one.output.last_hidden_state for one in seen
        ]
        for output in outputs[1:]:
            torch.testing.assert_close(output, outputs[0], atol=1e-5, rtol=0)
        assert len(seen[2].maps_BHQK) == len(seen[3].maps_BHQK) == len(subject.sites)
        for ours_BHQK, eager_BHQK in zip(seen[2].maps_BHQK, seen[3].maps_BHQK, strict=True):
            torch.testing.assert_close(ours_BHQK, eager_BHQK, atol=1e-6, rtol=0)


def test_the_command_writes_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        capture, "bench_capture", lambda threads, repeat: [{"threads": threads, "rounds": repeat}]
    )
    bench(argparse.Namespace(what="capture", config=None, threads=3, repeat=2))
    assert "rounds" in capsys.readouterr().out
    table = pd.read_csv("results/bench/capture.csv")
    assert table[["threads", "rounds"]].to_numpy().tolist() == [[3, 2]]
    with pytest.raises(UserError, match=r"--repeat: .* found 0"):
        bench(argparse.Namespace(what="capture", config=None, threads=3, repeat=0))
    with pytest.raises(UserError, match=r"--threads: .* found 0"):
        bench(argparse.Namespace(what="capture", config=None, threads=0, repeat=1))
