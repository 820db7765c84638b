"""Scores over costs: operations by hand, medians over seeds."""

import pytest

from amad_bench.analysis.collect import collect
from amad_bench.analysis.figures.cost import draw_cost, with_costs
from amad_bench.analysis.figures.losses import primary_scores
from amad_bench.analysis.tables.results import results_table
from tests.analysis.figures.frames import drawn, panels


@pytest.fixture(scope="module")
def tables(fake_results):
    collected = collect(*fake_results)
    results = results_table(collected)
    runs = collected.runs.assign(train_seconds=[float(10 + n) for n in range(len(collected.runs))])
    return results[results["task"] == "vqa"], runs


def test_operations_are_three_forward_passes_per_example_and_step(tables):
    results, runs = tables
    found = with_costs(primary_scores(results), runs)
    assert set(found["loss"]) == {"ce", "logit_kd", "one_to_one", "student_mean", "amad_kl"}
    assert set(found["flops"]) == {3 * 2e12 * 64 * 1000}  # of the status files: FLOPs, batch, steps
    own = runs[(runs["family"] == "blip") & (runs["task"] == "vqa") & (runs["loss"] == "amad_kl")]
    row = found[(found["family"] == "blip") & (found["loss"] == "amad_kl")].iloc[0]
    assert row["seconds"] == own["train_seconds"].median()


def test_both_costs_stand_beside_each_other(tables):
    found = panels(drawn(draw_cost, *tables))
    assert len(found) == 4
    assert found[0].get_xlabel().startswith("Training operations of the student (petaFLOPs)\nn = 2 seeds")
    assert found[1].get_xlabel().startswith("Seconds of training\nn = 2 seeds")
    assert found[0].get_title(loc="left") == "a  VL-T5 · VQA"
    results, _ = tables
    means = results[results["primary"] & (results["family"] == "vlt5") & (results["loss"] != "teacher")][
        "mean"
    ]
    for ax in found[:2]:
        drawn_means = [line.get_ydata()[0] for line in ax.lines if line.get_marker() not in ("None", None)]
        assert sorted(drawn_means) == sorted(means)


def test_a_student_whose_cost_is_unknown_is_left_out(tables):
    results, runs = tables
    unknown = runs.assign(flops_per_example=None)
    assert draw_cost(results, unknown).nothing == "No student with a score has a measured cost."
    assert draw_cost(results.head(0), runs).pages == []


def test_a_failed_run_costs_nothing(tables):
    results, runs = tables
    students = runs.index[(runs["family"] == "vlt5") & (runs["task"] == "vqa") & (runs["loss"] == "amad_kl")]
    broken = runs.copy()
    broken.loc[students[0], ["status", "train_seconds"]] = ["diverged", 0.5]
    found = with_costs(primary_scores(results), broken)
    row = found[(found["family"] == "vlt5") & (found["loss"] == "amad_kl")].iloc[0]
    assert row["seconds"] == runs.loc[students[1], "train_seconds"]
