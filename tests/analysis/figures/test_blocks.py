"""Forest plot across blocks: each block, and what they say together."""

import pandas as pd

from amad_bench.analysis.figures.blocks import NOTHING, draw_blocks
from tests.analysis.figures.frames import NAN, SETTING, drawn, marks, names, panels, spans

CONTRAST = {"loss_a": "amad_kl", "loss_b": "ce", "heads": "unequal", "unit": "% of ce"}
TOGETHER = {"n_better": 2, "n_tested": 3, "registered": False, "n_blocks": 3}
CONDITION = {key: SETTING[key] for key in ("teacher_pretraining", "pretraining", "budget")}


def differences(**changes):
    rows = [
        {"task": task, "metric": metric, "difference": value, "ci_low": value - 1, "ci_high": value + 1}
        for task, metric, value in (("vqa", "vqa_accuracy", 2.0), ("captioning", "CIDEr", -1.0))
    ]
    rows.append(
        {"student_heads": 4, "metric": "vqa_accuracy", "difference": 3.0, "ci_low": NAN, "ci_high": NAN}
    )
    return pd.DataFrame([SETTING | CONTRAST | {"n_seeds": 2} | row | changes for row in rows])


def together(**changes):
    rows = [
        {"over": "all", "difference": 1.5, "ci_low": 1.0, "ci_high": 2.0, "statement": "better"},
        {"over": "vlt5", "difference": 1.0, "ci_low": NAN, "ci_high": NAN, "statement": "not testable"},
        {"over": "vqa", "difference": 9.0, "unit": "points", "statement": "better"},
    ]
    return pd.DataFrame([CONTRAST | CONDITION | TOGETHER | row | changes for row in rows])


def test_blocks_first_then_groups_in_the_same_unit():
    (ax,) = panels(drawn(draw_blocks, together(), differences()))
    assert names(ax) == [
        "VL-T5 · VQA · 8 → 2",
        "VL-T5 · Captioning · 8 → 2",
        "VL-T5 · VQA · 8 → 4",
        "all blocks: K = 3, 2 of 3",
        "VL-T5: K = 3, 2 of 3",
    ]
    assert marks(ax) == [(2.0, 0.0), (-1.0, 1.0), (3.0, 2.0), (1.5, 3.0), (1.0, 4.0)]
    assert spans(ax) == [((1, 0), (3, 0)), ((-2, 1), (0, 1)), ((1, 3), (2, 3))]
    assert ax.get_title(loc="left") == "amad_kl − ce · unequal heads"
    assert ax.get_xlabel() == "Difference (% of ce)\nn = 3 blocks × 2 seeds"


def test_contrasts_conditions_and_kinds_of_heads_have_panels_of_their_own():
    more = [{"loss_b": "logit_kd"}, {"pretraining": "vl"}, {"budget": "flops"}, {"heads": "equal"}]
    found = panels(
        drawn(
            draw_blocks,
            pd.concat([together(), *(together(**one) for one in more)]),
            pd.concat([differences(), *(differences(**one) for one in more)]),
        )
    )
    assert [ax.get_title(loc="left") for ax in found] == [
        "a  amad_kl − ce · unequal heads",
        "b  amad_kl − logit_kd · unequal heads",
        "c  amad_kl − ce · none → vl · unequal heads",
        "d  amad_kl − ce · equal FLOPs · unequal heads",
        "e  amad_kl − ce · equal heads",
    ]
    assert {len(names(ax)) for ax in found} == {5}


def test_points_where_all_blocks_share_a_metric():
    points = differences(metric="vqa_accuracy", unit="points")
    (ax,) = panels(drawn(draw_blocks, together(unit="points"), points))
    assert ax.get_xlabel().startswith("Difference (points, VQA accuracy)")
    assert len(names(ax)) == 6


def test_blocks_without_a_difference():
    assert draw_blocks(together(), differences(difference=NAN)).nothing == NOTHING
    assert draw_blocks(together().head(0), differences().head(0)).nothing == NOTHING
    (ax,) = panels(drawn(draw_blocks, together().head(0), differences()))
    assert len(names(ax)) == 3


def test_what_is_too_long_for_a_title_stands_below_by_letters():
    long = {"loss_a": "amad_kl_sharp", "loss_b": "random_alignment", "budget": "flops"}
    tables = (pd.concat([made(), made(**long)]) for made in (together, differences))
    drawing = drawn(draw_blocks, *tables)
    assert [ax.get_title(loc="left") for ax in panels(drawing)] == [
        "a  amad_kl − ce",
        "b  amad_kl_sharp − random_alignment · equal FLOPs",
    ]
    assert drawing.pages[0].notes[-1] == "a–b: unequal heads."


def test_blocks_beyond_the_most_are_counted_and_said_to_be_left_out():
    many = pd.concat([differences(student=f"s{number}") for number in range(20)])
    (ax,) = panels(drawn(draw_blocks, together(), many))
    assert len(names(ax)) == 34 + 2
    assert ax.get_xlabel() == "Difference (% of ce)\nn = 60 blocks (the first 34 drawn) × 2 seeds"
