"""Scores per loss: the numbers of the table, in their panels."""

import numpy as np
import pytest

from amad_bench.analysis.figures.drawing import GREY, looks
from amad_bench.analysis.figures.head_gap import draw_head_gap
from amad_bench.analysis.figures.losses import NOTHING, draw_losses, limits, loss_looks, primary_scores
from tests.analysis.figures.frames import NAN, drawn, marks, names, of_setting, panels, results, spans

TABLE = results(*of_setting(), *of_setting(30.0, task="captioning", metric="CIDEr", n_seeds=2))


def test_a_panel_per_setting_with_the_numbers_of_the_table():
    vqa, captioning = panels(drawn(draw_losses, TABLE))
    assert names(vqa) == ["ce", "logit_kd", "amad_kl"]
    assert marks(vqa) == [(55.0, 0.0), (60.0, 1.0), (65.0, 2.0)]
    assert spans(vqa) == [((x - 3, y), (x + 3, y)) for x, y in marks(vqa)]
    dashed = [line.get_xdata()[0] for line in vqa.lines if line.get_alpha() == GREY["alpha"]]
    assert dashed == [70.0, 55.0]  # the teacher and ce
    assert vqa.get_xlabel() == "VQA accuracy (points, 0–100)\nn = 3 seeds × 240 examples"
    assert captioning.get_xlabel() == "CIDEr (points, 0–1000)\nn = 2 seeds × 240 examples"
    assert [ax.get_title(loc="left") for ax in (vqa, captioning)] == [
        "a  VL-T5 · VQA · 8 → 2 heads",
        "b  VL-T5 · Captioning · 8 → 2 heads",
    ]


def test_losses_without_a_score_and_parts_of_the_test_set_are_absent():
    gone = [row | {"mean": NAN, "ci_low": NAN, "ci_high": NAN} for row in of_setting()[2:3]]
    part = [row | {"primary": False, "subset": "domain: in", "mean": 1.0} for row in of_setting()]
    table = results(*of_setting()[:2], *gone, *of_setting()[3:], *part)
    (ax,) = panels(drawn(draw_losses, table))
    assert names(ax) == ["ce", "amad_kl"]
    assert marks(ax) == [(55.0, 0.0), (65.0, 1.0)]


def test_one_seed_without_an_interval_is_a_mark_alone():
    rows = [row | {"ci_low": NAN, "ci_high": NAN, "n_seeds": 1} for row in of_setting()]
    (ax,) = panels(drawn(draw_losses, results(*rows)))
    assert spans(ax) == []
    assert len(marks(ax)) == 3
    assert ax.get_xlabel().endswith("n = 1 seed × 240 examples")


def test_nothing_to_draw():
    empty = results(*[row | {"mean": NAN} for row in of_setting()])
    for table in (empty, empty.head(0)):
        assert draw_losses(table).nothing == NOTHING
        assert draw_losses(table).pages == []


def test_many_settings_stand_on_pages_of_one_size():
    many = [row | {"student_heads": heads} for heads in range(1, 21) for row in of_setting()]
    drawing = drawn(draw_losses, results(*many))
    counts = [len(page.figure.axes) for page in drawing.pages]
    assert sum(counts) == 20
    assert max(counts) - min(counts) <= 1
    assert all(page.figure.get_size_inches()[1] <= 8.4 for page in drawing.pages)


@pytest.mark.parametrize(
    ("metric", "low", "high", "expected"),
    [
        ("TER", -8.0, 130.0, (138.28, -8.28)),  # a margin of 6 % of 138; no rate is below 0, any is above 100
        ("BLEU", -8.0, 130.0, (-8.28, 108.28)),
        ("CIDEr", -8.0, 1030.0, (-62.28, 1062.28)),
    ],
)
def test_axes_end_where_the_metric_does_and_the_better_end_is_right(metric, low, high, expected):
    assert limits(results({"metric": metric, "ci_low": low, "ci_high": high})) == pytest.approx(expected)


def test_a_loss_looks_alike_in_every_table():
    order = list(loss_looks(TABLE))
    assert order == ["ce", "logit_kd", "amad_kl"]
    assert loss_looks(TABLE.iloc[::-1]) == loss_looks(TABLE) == looks(order)
    assert np.all(primary_scores(TABLE)["mean"].notna())


def test_a_teacher_without_students_is_no_figure():
    teachers = results(*(row for row in of_setting() if row["loss"] == "teacher"))
    gone = [row | {"mean": NAN, "ci_low": NAN, "ci_high": NAN} for row in of_setting()[1:]]
    for table in (teachers, results(of_setting()[0], *gone)):
        assert draw_losses(table).nothing == NOTHING
        assert draw_head_gap(table).nothing == NOTHING
    both = results(*of_setting(), of_setting(student_heads=4)[0])
    assert len(panels(drawn(draw_losses, both))) == 1
