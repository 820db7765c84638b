"""Heat maps: differences to `ce`, by head counts."""

import numpy as np
import pandas as pd
import pytest

from amad_bench.analysis.figures.head_counts import draw_head_counts
from tests.analysis.figures.frames import SETTING, drawn, of_setting, panels, results

TABLE = results(
    *[
        row | {"student_heads": heads, "mean": row["mean"] + (heads if row["loss"] == "amad_kl" else 0)}
        for heads in (2, 4)
        for row in of_setting()
    ]
)
NONE = pd.DataFrame(columns=[*SETTING, "loss_a", "loss_b", "statement"])


def test_a_cell_is_the_mean_minus_that_of_ce():
    logits, amad = panels(drawn(draw_head_counts, TABLE, NONE))
    assert np.asarray(logits.images[0].get_array()).tolist() == [[5.0, 5.0]]
    assert np.asarray(amad.images[0].get_array()).tolist() == [[12.0, 14.0]]
    assert [text.get_text() for text in amad.texts] == ["+12.0", "+14.0"]
    assert [tick.get_text() for tick in amad.get_xticklabels()] == ["2", "4"]
    assert logits.get_title(loc="left") == "a  VL-T5 · VQA · logit_kd"
    assert logits.images[0].get_clim() == amad.images[0].get_clim() == (-14.0, 14.0)


def test_where_less_is_better_the_number_stays_and_the_colour_turns():
    ter = TABLE.assign(task="translation", metric="TER")
    logits, _ = panels(drawn(draw_head_counts, ter, NONE))
    assert np.asarray(logits.images[0].get_array()).tolist() == [[-5.0, -5.0]]
    assert [text.get_text() for text in logits.texts] == ["+5.0", "+5.0"]


@pytest.mark.parametrize(("statement", "expected"), [("better", "+12.0*"), ("inconclusive", "+12.0")])
def test_a_star_marks_what_was_tested(statement, expected):
    tested = pd.DataFrame([SETTING | {"loss_a": "amad_kl", "loss_b": "ce", "statement": statement}])
    _, amad = panels(drawn(draw_head_counts, TABLE, tested))
    assert [text.get_text() for text in amad.texts] == [expected, "+14.0"]


def test_pairs_of_heads_that_were_not_run_are_empty():
    more = results(*of_setting(), *of_setting(teacher_heads=12, student_heads=4))
    (_, amad) = panels(drawn(draw_head_counts, more, NONE))
    cells = np.ma.filled(amad.images[0].get_array(), np.nan)
    assert np.isnan(cells).tolist() == [[False, True], [True, False]]


def test_nothing_to_compare():
    assert draw_head_counts(TABLE.head(0), NONE).nothing.startswith("No student has a score")
    alone = TABLE[TABLE["loss"].isin(["teacher", "ce"])]
    assert draw_head_counts(alone, NONE).nothing == "No setting has scores of ce and of another loss."
    one = draw_head_counts(results(*of_setting()), NONE)
    assert one.nothing == "Only one pair of head counts has scores of ce and of another loss."
