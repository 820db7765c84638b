"""Power curves: the table's numbers over seeds."""

import pandas as pd

from amad_bench.analysis.figures.power import NOTHING, draw_power
from tests.analysis.figures.frames import NAN, SETTING, drawn, marks, panels

MEASURED = {"n_losses": 5, "n_seeds_measured": 2, "n_blocks_measured": 1, "unit": "points"}
SEEDS = (2, 3, 5)
CONDITION = {axis: SETTING[axis] for axis in ("teacher_pretraining", "pretraining", "cut", "budget")}


def table():
    rows = [
        SETTING | MEASURED | {"metric": "vqa_accuracy", "test": test, "n_seeds": n, "shown_80": scale / n}
        for test, scale in (("pair", 40.0), ("setting", 20.0))
        for n in SEEDS
    ]
    blocks = [
        CONDITION
        | MEASURED
        | {"metric": "vqa_accuracy | CIDEr", "test": "blocks", "unit": "% of ce", "n_blocks": count}
        | {"n_seeds": n, "shown_80": 10 / n / count}
        for count in (5, 8)
        for n in (1, *SEEDS)
    ]
    frame = pd.DataFrame(rows + blocks).assign(floor_80=0.5)
    return frame.astype(
        {"n_seeds": "Int64", "n_blocks": "Int64", "teacher_heads": "Int64", "student_heads": "Int64"}
    )


def test_a_line_per_test_and_per_number_of_blocks():
    setting, across = panels(drawn(draw_power, table()))
    assert marks(setting) == [(n, s / n) for s in (40.0, 20.0) for n in SEEDS]
    assert marks(across) == [(n, 10 / n / k) for k in (5, 8) for n in (1, *SEEDS)]
    assert [tick.get_text() for tick in setting.get_xticklabels()] == ["2", "3", "5"]
    assert setting.get_title(loc="left") == "a  VL-T5 · VQA · 8 → 2 heads"
    assert across.get_title(loc="left") == "b  Across blocks"
    assert (setting.get_ylabel(), across.get_ylabel()) == ("Points of VQA accuracy", "Difference (% of ce)")
    assert setting.get_xlabel() == "Seeds planned\nn = 5 losses × 2 seeds, measured"
    floors = [line.get_ydata()[0] for ax in (setting, across) for line in ax.lines if line.get_alpha()]
    assert floors == [0.5, 0.5]


def test_a_test_set_that_sets_no_limit_leaves_the_scale_alone():
    for floor in (0.0, NAN):
        setting, _ = panels(drawn(draw_power, table().assign(floor_80=floor)))
        low, high = setting.get_ylim()
        assert 3 < low < 4
        assert 20 < high < 25


def test_nothing_is_known_yet():
    assert draw_power(table().head(0)).nothing == NOTHING
    assert draw_power(table().assign(shown_80=NAN)).nothing == NOTHING
