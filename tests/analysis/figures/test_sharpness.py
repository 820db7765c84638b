"""Sharpness beside its bounds."""

import pandas as pd
import pytest

from amad_bench.analysis.collect import collect
from amad_bench.analysis.figures.sharpness import NOTHING, draw_sharpness
from tests.analysis.figures.frames import NAN, drawn, panels


@pytest.fixture(scope="module")
def tables(fake_results):
    """The runs of amad_kl have sharpness .6 and .7 (seeds) at step 20 in two layers of .1 up and down."""
    collected = collect(*fake_results)
    amad = collected.runs[(collected.runs["loss"] == "amad_kl") & (collected.runs["task"] == "vqa")]
    rows = [
        {"run_id": run["run_id"], "step": step, "layer": layer, "sharpness": 0.6 + run["replicate"] / 10 + up}
        | {"bound": 0.73, "uniform": 0.5}
        for run in amad.to_dict("records")
        for step in (20, 40)
        for layer, up in ((0, 0.1), (1, -0.1))
    ]
    return collected.runs, pd.DataFrame(rows)


def test_a_line_per_loss_with_its_bound_and_uniform(tables):
    found = panels(drawn(draw_sharpness, *tables))
    assert [ax.get_title(loc="left") for ax in found] == [
        "a  VL-T5 · VQA · 8 → 2 heads",
        "b  BLIP · VQA · 8 → 2 heads",
    ]
    for ax in found:
        curve, bound, uniform = ax.lines
        assert curve.get_xdata().tolist() == [20, 40]
        assert curve.get_ydata().tolist() == pytest.approx([0.65, 0.65])
        assert bound.get_ydata()[0] == pytest.approx(0.73)
        assert uniform.get_ydata()[0] == 0.5
        assert bound.get_color() == curve.get_color() != uniform.get_color()
        band = ax.collections[0].get_paths()[0].vertices[:, 1]
        assert (band.min(), band.max()) == pytest.approx((0.6, 0.7))
        assert ax.get_xlabel() == "Step; n = 2 seeds × 2 layers"


def test_a_loss_without_a_bound_has_none(tables):
    runs, alignments = tables
    for ax in panels(drawn(draw_sharpness, runs, alignments.assign(bound=NAN))):
        assert len(ax.lines) == 2


def test_nothing_aligns(tables):
    runs, alignments = tables
    assert draw_sharpness(runs, alignments.head(0)).nothing == NOTHING
