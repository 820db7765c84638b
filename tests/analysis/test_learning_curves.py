"""Steps to a fixed score: by hand, against naive loops, and what may stand in one group."""

import itertools
import time

import numpy as np
import pandas as pd
import pytest

from amad_bench.analysis.collect import collect
from amad_bench.analysis.learning_curves import (
    CONDITION,
    GROUP,
    MEASURED,
    SCORE,
    SHOWN,
    comparable,
    learning_curves,
    mean_curves,
    steps_to_score,
)


def row(run_id, pretraining="none", replicate=0, **changes):
    """A row of the table `runs`, as far as it matters here: a `ce` student."""
    usual = dict.fromkeys(GROUP, "x") | {"kind": "student", "loss": "ce", "loss_name": "ce", "cut": "random"}
    usual |= {"student": "", "teacher_heads": 8, "heads": 2, "teacher_pretraining": "none", "status": "done"}
    return usual | {"run_id": run_id, "pretraining": pretraining, "replicate": replicate} | changes


def tables(*runs):
    """The tables runs and learning_curves. runs: (row, validation score by step)."""
    frame = pd.DataFrame([own for own, _ in runs])
    found = {own["run_id"]: [(step, score, 0.0) for step, score in curve.items()] for own, curve in runs}
    return frame.convert_dtypes(), learning_curves(frame, found)


@pytest.fixture
def by_hand():
    """Two replicates of none, two of text of which one failed, two of vl; one of vl under another cut."""
    return tables(
        (row("n0"), {10: 0.2, 20: 0.6, 30: 0.5}),
        (row("n1", replicate=1), {10: 0.4, 20: 0.4, 30: 0.5}),
        (row("t0", "text"), {10: 0.3, 20: 0.4, 30: 0.49}),
        (row("t1", "text", 1, status="diverged"), {10: 0.9}),
        (row("v0", "vl"), {10: 0.3, 20: 0.4, 30: 0.7}),
        (row("v1", "vl", 1), {10: 0.5, 20: 0.8, 30: 0.7}),
        (row("i0", "vl", cut="inherit first"), {10: 0.5, 20: 0.4, 30: 0.3}),
    )


def test_steps_to_the_score_of_runs_without_pre_training(by_hand):
    # Means of none: .3, .5, .5, so the fixed score is .5, first at 20; of vl: .4, .6, .7.
    found = steps_to_score(*by_hand)
    assert found[CONDITION].to_numpy().tolist() == [
        ["none", "random", ""],
        ["text", "random", ""],
        ["vl", "random", ""],
        ["vl", "inherit first", ""],
    ]
    assert found["fixed_score"].tolist() == pytest.approx([0.5] * 4)
    assert found["first_step"].tolist() == [20, pd.NA, 20, 10]
    assert found["reached"].tolist() == ["yes", "never", "yes", "yes"]
    assert found["best_score"].tolist() == pytest.approx([0.5, 0.49, 0.7, 0.5])
    assert found["best_step"].tolist() == [20, 30, 30, 10]  # the earlier one of two that are equal
    assert found["n_runs"].tolist() == [2, 1, 2, 1]
    assert found["n_failed"].tolist() == [0, 1, 0, 0]


def test_bands_go_from_the_lowest_to_the_highest_replicate(by_hand):
    runs, curves = by_hand
    points = mean_curves(comparable(runs), curves)
    of_vl = points[points["condition"] == 2]
    assert of_vl["step"].tolist() == [10, 20, 30]
    assert of_vl["mean"].tolist() == pytest.approx([0.4, 0.6, 0.7])
    assert of_vl["low"].tolist() == [0.3, 0.4, 0.7]
    assert of_vl["high"].tolist() == [0.5, 0.8, 0.7]


def test_a_step_that_a_replicate_lacks_is_in_no_mean():
    runs = [
        (row("n0"), {10: 0.2, 20: 0.4}),
        (row("n1", replicate=1), {10: 0.2}),
        (row("v0", "vl"), {10: 0.1, 20: 0.3}),
    ]
    found = steps_to_score(*tables(*runs))
    assert found["fixed_score"].tolist() == pytest.approx([0.2, 0.2])
    assert found["first_step"].tolist() == [10, 20]


@pytest.mark.parametrize("lost", ["none", "vl"])
def test_a_condition_whose_runs_all_failed_keeps_its_row(lost):
    runs = [(row("n0"), {10: 0.2}), (row("v0", "vl"), {10: 0.3})]
    for own, _ in runs:
        own["status"] = "diverged" if own["pretraining"] == lost else "done"
    found = steps_to_score(*tables(*runs)).set_index("pretraining")
    assert found["n_failed"].to_dict() == {"none": int(lost == "none"), "vl": int(lost == "vl")}
    assert found["best_score"].isna().to_dict() == {"none": lost == "none", "vl": lost == "vl"}
    assert found["fixed_score"].isna().tolist() == [lost == "none"] * 2
    assert found["first_step"].isna().to_dict() == {"none": lost == "none", "vl": True}
    reached = {
        "none": {"none": "no finished run", "vl": "no fixed score"},
        "vl": {"none": "yes", "vl": "no finished run"},
    }
    assert found["reached"].to_dict() == reached[lost]


def test_without_runs_from_random_weights_there_is_no_fixed_score():
    found = steps_to_score(*tables((row("t0", "text"), {10: 0.2}), (row("v0", "vl"), {10: 0.3})))
    assert found["best_score"].tolist() == [0.2, 0.3]
    assert found["fixed_score"].isna().all()
    assert found["first_step"].isna().all()
    assert found["reached"].tolist() == ["no fixed score"] * 2


@pytest.mark.parametrize("axis", [axis for axis in GROUP if axis != "teacher_pretraining"])
def test_runs_that_differ_in_more_than_the_condition_are_not_compared(axis):
    runs, curves = tables((row("n0"), {10: 0.2}), (row("v0", "vl", **{axis: "other"}), {10: 0.3}))
    assert steps_to_score(runs.assign(**{axis: runs[axis].astype("string")}), curves).empty


def test_sizes_that_differ_in_their_weights_alone_share_their_runs_without_any():
    """`none` of both is one run, under the name of one."""
    found = steps_to_score(
        *tables(
            (row("n", student="inherits"), {10: 0.2, 20: 0.4}),
            (row("v", "vl", student="inherits", cut="inherit first"), {10: 0.5}),
            (row("w", "vl", student="own", cut="as is"), {10: 0.1, 20: 0.4}),
        )
    )
    assert found["student"].tolist() == ["inherits", "inherits", "own"]
    assert found["fixed_score"].tolist() == [0.4] * 3
    assert found["first_step"].tolist() == [20, 10, 20]


def test_the_teachers_condition_matters_only_to_those_who_learn_from_it():
    for loss, taught_after in (("amad_kl", ("none", "vl")), ("ce", (None,))):
        runs = [
            (row(f"{a}{b}", b, teacher_pretraining=a, loss=loss), {10: 0.2})
            for a, b in itertools.product(taught_after, ("none", "vl"))
        ]
        found = steps_to_score(*tables(*runs))
        assert found["n_runs"].tolist() == [1] * len(runs)
        shown = found["teacher_pretraining"]
        assert shown.isna().all() if loss == "ce" else shown.tolist() == ["none", "none", "vl", "vl"]


def test_one_condition_gives_an_empty_table_with_its_columns(fake_results, by_hand):
    collected = collect(*fake_results)
    found = steps_to_score(collected.runs, collected.learning_curves)
    assert found.empty
    full = steps_to_score(*by_hand)
    assert found.columns.tolist() == full.columns.tolist() == [*SHOWN, *MEASURED]
    assert found[[*MEASURED]].dtypes.tolist() == full[[*MEASURED]].dtypes.tolist()


def test_from_a_results_folder(fake, tmp_path):
    """Teachers and students from two conditions, the pre-training in the same plan."""
    curves = {"none": {500: 0.4, 1000: 0.5}, "vl": {500: 0.5, 1000: 0.7}}
    changes = {"pretraining.teacher": ["none", "vl"], "pretraining.student": ["none", "vl"]}
    plan = fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce",), seeds=1, changes=changes)
    for run in plan.runs:
        fake.steps(fake.write(tmp_path, run), curves[run.config.pretraining])
    collected = collect(plan, tmp_path)
    found = steps_to_score(collected.runs, collected.learning_curves)
    shown = found[["kind", "heads", "pretraining", "fixed_score", "first_step", "best_score"]]
    assert shown.to_numpy().tolist() == [
        ["teacher", 8, "none", 0.5, 1000, 0.5],
        ["teacher", 8, "vl", 0.5, 500, 0.7],
        ["student", 2, "none", 0.5, 1000, 0.5],
        ["student", 2, "vl", 0.5, 500, 0.7],
    ]


def naive(runs, curves):
    """(group, condition) -> fixed score, first step, best score; a loop per group."""
    found = {}
    by_run = {
        run_id: dict(zip(own["step"], own[SCORE], strict=True)) for run_id, own in curves.groupby("run_id")
    }
    rows = runs.to_dict("records")
    for group in {tuple(own[axis] for axis in GROUP) for own in rows}:
        means = {}
        for condition in ("none", "text", "vl"):
            own = [r for r in rows if tuple(r[axis] for axis in GROUP) == group]
            own = [by_run[r["run_id"]] for r in own if r["pretraining"] == condition]
            means[condition] = {step: sum(curve[step] for curve in own) / len(own) for step in own[0]}
        fixed = max(means["none"].values())
        for condition, mean in means.items():
            reached = [step for step in sorted(mean) if mean[step] >= fixed]
            found[*group, condition] = (fixed, reached[0] if reached else None, max(mean.values()))
    return found


def test_a_thousand_runs_against_naive_loops_in_little_time():
    generator = np.random.default_rng(0)
    groups = itertools.product(("vlt5", "blip"), ("vqa", "captioning"), [f"loss{n}" for n in range(14)])
    runs = []
    for (family, task, loss), condition, replicate in itertools.product(
        groups, ("none", "text", "vl"), range(6)
    ):
        changes = {"family": family, "task": task, "loss": loss, "loss_name": "amad"}
        own = row(f"r{len(runs)}", condition, replicate, **changes)
        runs.append((own, dict(zip(range(100, 2100, 100), generator.random(20).cumsum() / 20, strict=True))))
    assert len(runs) > 1000
    frame, curves = tables(*runs)
    started = time.process_time()
    found = steps_to_score(frame, curves)
    assert time.process_time() - started < 2
    expected = naive(frame, curves)
    assert len(found) == len(expected) == 2 * 2 * 14 * 3
    for own in found.to_dict("records"):
        group = [own.get(axis, "x") for axis in GROUP]  # the table does not show `model`
        fixed, first, best = expected[(*group, own["pretraining"])]
        assert own["fixed_score"] == pytest.approx(fixed)
        assert own["best_score"] == pytest.approx(best)
        assert (None if pd.isna(own["first_step"]) else own["first_step"]) == first
