"""With TER as the primary metric, less is better wherever tables and figures say what is good."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from amad_bench.analysis.collect import collect
from amad_bench.analysis.collected import Collected
from amad_bench.analysis.figures.head_gap import draw_head_gap
from amad_bench.analysis.figures.losses import draw_losses
from amad_bench.analysis.figures.titles import in_points
from amad_bench.analysis.tables.comparisons import comparisons_table
from amad_bench.analysis.tables.headroom import headroom_table
from amad_bench.analysis.tables.results import results_table
from amad_bench.plan.catalogue import METRICS
from tests.analysis.conftest import make_plan, write_run
from tests.analysis.figures.frames import drawn, panels
from tests.first_metric import first_metric

LOSSES = ("ce", "logit_kd", "amad_kl")
TEACHER = "vlt5-translation-h8-teacher-none-s00"
SEEDS = range(5)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory):
    results = tmp_path_factory.mktemp("ter") / "results"
    with first_metric(METRICS["TER"]):
        plan = make_plan(tasks=(("vlt5", "translation"),), losses=LOSSES, seeds=len(SEEDS))
        for run in plan.runs:
            write_run(results, run)
        yield collect(plan, results)


def ter(tables: Collected, run_id: str, split: str = "test") -> float:
    """Edits over words, in points."""
    scores = tables.scores[tables.scores["metric"] == "TER"]
    own = scores[(scores["run_id"] == run_id) & (scores["split"] == split)]
    edits, words = np.array(own["statistics"].tolist()).sum(axis=0)
    return float(100 * edits / words)


def of_loss(tables: Collected, loss: str, split: str = "test") -> list[float]:
    return [ter(tables, f"vlt5-translation-h8to2-{loss}-none-s{seed:02}", split) for seed in SEEDS]


def test_a_lower_rate_is_better_and_the_difference_stays_a_minus_b(tables: Collected):
    compared = comparisons_table(tables).set_index("loss_b")
    assert set(compared["metric"]) == {"TER"}
    amad = of_loss(tables, "amad_kl")
    for rival in ("ce", "logit_kd"):
        own, row = of_loss(tables, rival), compared.loc[rival]
        assert np.mean(amad) < np.mean(own)
        assert row["difference"] == pytest.approx(np.mean(amad) - np.mean(own))
        assert row["ci_high"] < 0
        assert row["statement"] == "better"
        above = np.mean([(a < b) + (a == b) / 2 for a in amad for b in own])
        assert row["p_superiority"] == pytest.approx(above)
    runs = tables.runs.assign(loss_name=tables.runs["loss_name"].replace({"amad": "x", "ce": "amad"}))
    turned = comparisons_table(replace(tables, runs=runs)).set_index(["loss_a", "loss_b"])
    assert turned.loc[("ce", "amad_kl"), "statement"] == "worse"


def test_headroom_is_what_the_teacher_does_better(tables: Collected):
    row = headroom_table(tables).iloc[0]
    teacher, ce = ter(tables, TEACHER), float(np.mean(of_loss(tables, "ce")))
    majority = ter(tables, TEACHER, "test_majority")
    assert teacher + 10 < ce
    assert ce + 10 < majority < 80
    assert row["metric"] == "TER"
    assert (row["teacher"], row["ce"]) == (pytest.approx(100 - teacher), pytest.approx(100 - ce))
    assert row["difference"] == pytest.approx(ce - teacher)
    assert row["majority"] == pytest.approx(100 - majority)
    flags = ["teacher_above_ce", "ce_below_ceiling", "ce_above_majority", "majority_low"]
    assert row[flags].tolist() == [True, True, True, False]


def test_the_better_end_of_an_axis_is_right_or_up(tables: Collected):
    scores = results_table(tables)
    (of_losses,) = panels(drawn(draw_losses, scores))
    other = scores.assign(student_heads=4)
    (of_gaps,) = panels(drawn(draw_head_gap, pd.concat([scores, other])))
    worse, better = of_losses.get_xlim()
    assert worse > better
    assert of_gaps.get_ylim() == (worse, better)
    label = "TER (points, 0 or more; less is better)"
    assert of_losses.get_xlabel().splitlines()[0] == of_gaps.get_ylabel() == label
    dashed = [line.get_xdata()[0] for line in of_losses.lines if line.get_alpha()]
    expected = {"teacher": ter(tables, TEACHER), "ce": float(np.mean(of_loss(tables, "ce")))}
    assert dashed == pytest.approx(list(expected.values()))
    assert worse > expected["ce"] > expected["teacher"] > better


@pytest.mark.parametrize(
    ("lowest", "highest", "said"),
    [(-np.inf, np.inf, "any number"), (-np.inf, 0.0, "0 or less"), (5.0, np.inf, "5 or more")],
)
def test_an_axis_says_which_bounds_there_are(lowest: float, highest: float, said: str, monkeypatch):
    unusual = replace(METRICS["BLEU"], minimum=lowest, maximum=highest)
    monkeypatch.setitem(METRICS, "BLEU", unusual)
    assert in_points("BLEU") == f"BLEU (points, {said})"
