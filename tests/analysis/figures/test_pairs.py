"""Forest plot of pairs: differences, intervals and statements of the table."""

import pandas as pd

from amad_bench.analysis.figures.pairs import LOOKS, MOST, NOTHING, draw_pairs
from tests.analysis.figures.frames import NAN, SETTING, drawn, marks, names, panels, spans

PAIR = {"metric": "vqa_accuracy", "loss_a": "amad_kl", "registered": False, "n_seeds": 3, "n_examples": 240}
ROWS = [
    {"loss_b": "ce", "difference": 4.0, "ci_low": 1.0, "ci_high": 7.0, "statement": "better"},
    {"loss_b": "one", "difference": -4.0, "ci_low": -6.0, "ci_high": -2.0, "statement": "worse"},
    {"loss_b": "two", "difference": 1.0, "ci_low": -2.0, "ci_high": 4.0, "statement": "inconclusive"},
    {"loss_b": "three", "difference": 0.5, "ci_low": NAN, "ci_high": NAN, "statement": "not testable"},
]


def table(*rows):
    return pd.DataFrame([SETTING | PAIR | row for row in rows])


def test_the_numbers_of_the_table_with_the_look_of_their_statements():
    (ax,) = panels(drawn(draw_pairs, table(*ROWS)))
    assert names(ax) == [f"amad_kl − {row['loss_b']}" for row in ROWS]
    assert marks(ax) == [(row["difference"], float(place)) for place, row in enumerate(ROWS)]
    assert spans(ax) == [((row["ci_low"], p), (row["ci_high"], p)) for p, row in enumerate(ROWS[:3])]
    looks = [(line.get_color(), line.get_marker()) for line in ax.lines if line.get_marker() != "None"]
    assert looks == [LOOKS[row["statement"]] for row in ROWS]
    hollow = [line.get_markerfacecolor() for line in ax.lines if line.get_marker() != "None"]
    assert [face == "none" for face in hollow] == [False, False, True, False]
    assert ax.get_xlabel() == "Difference, VQA accuracy (points)\nn = 3 seeds × 240 examples"


def test_it_says_that_nothing_was_registered():
    drawing = drawn(draw_pairs, table(*ROWS))
    assert "exploratory" in drawing.pages[0].notes[0]
    registered = drawn(draw_pairs, table(*ROWS).assign(registered=True))
    assert "exploratory" not in registered.pages[0].notes[0]


def test_an_interval_of_two_seeds_does_not_hide_the_others():
    wide = {
        "loss_b": "wide",
        "difference": 1.0,
        "ci_low": -900.0,
        "ci_high": 902.0,
        "statement": "inconclusive",
    }
    (ax,) = panels(drawn(draw_pairs, table(*ROWS, wide)))
    low, high = ax.get_xlim()
    assert -40 < low < -6
    assert 7 < high < 40


def test_many_contrasts_have_panels_by_their_first_loss():
    rows = [
        ROWS[0] | {"loss_a": a, "loss_b": f"b{n}"} for a in ("amad_kl", "amad_mse") for n in range(MOST - 1)
    ]
    found = panels(drawn(draw_pairs, table(*rows)))
    assert [len(names(ax)) for ax in found] == [MOST - 1, MOST - 1]
    assert names(found[1])[0] == "amad_mse − b0"


def test_without_differences():
    assert draw_pairs(table(*ROWS).head(0)).nothing == NOTHING
    assert draw_pairs(table(*ROWS).assign(difference=NAN)).nothing == NOTHING
