"""Gaps between pre-training conditions: one bar and the conditions' means per loss."""

import pytest

from amad_bench.analysis.figures.pretraining_gaps import draw_pretraining_gaps
from tests.analysis.figures.frames import drawn, marks, names, of_setting, panels, results

TABLE = results(
    *of_setting(),
    *[row | {"pretraining": "vl", "cut": "as is", "mean": row["mean"] + 8} for row in of_setting()],
)


def test_a_bar_from_the_lowest_to_the_highest_condition_of_each_loss():
    (ax,) = panels(drawn(draw_pretraining_gaps, TABLE))
    assert names(ax) == ["ce", "logit_kd", "amad_kl"]
    bars = [(bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert bars == [(55.0, 8.0), (60.0, 8.0), (65.0, 8.0)]
    none, vl = marks(ax)[:3], marks(ax)[3:]
    assert [x for x, _ in none] == [55, 60, 65]
    assert [x for x, _ in vl] == [63, 68, 73]
    assert [y for _, y in none] == pytest.approx([-0.1, 0.9, 1.9])
    assert [line.get_xdata()[0] for line in ax.lines if line.get_alpha()] == [63.0]  # ce after vl


def test_teachers_conditions_have_panels_and_a_name():
    both = [TABLE, TABLE.assign(teacher_pretraining="vl")]
    found = panels(
        drawn(draw_pretraining_gaps, results(*[row for t in both for row in t.to_dict("records")]))
    )
    assert [ax.get_title(loc="left") for ax in found] == [
        "a  VL-T5 · VQA · 8 → 2 heads · none →",
        "b  VL-T5 · VQA · 8 → 2 heads · vl →",
    ]


def test_one_condition_is_a_sentence():
    alone = draw_pretraining_gaps(TABLE[TABLE["pretraining"] == "vl"])
    assert alone.nothing == "No students with scores differ in their pre-training only."
    assert draw_pretraining_gaps(TABLE.head(0)).nothing.startswith("No student has a score")
