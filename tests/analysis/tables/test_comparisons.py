"""Headroom and comparisons against numbers computed from the generated scores in another way."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from amad_bench.analysis.collect import collect
from amad_bench.analysis.comparisons import compare
from amad_bench.analysis.tables.comparisons import _pairs, comparisons_table, pairs_of_runs_table
from amad_bench.analysis.tables.headroom import headroom_table
from amad_bench.analysis.tables.results import results_table
from amad_bench.plan.plan import Plan
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import write_table
from tests.analysis.oracles import sacre_bleu, values

VQA = (("vlt5", "vqa"),)


@pytest.fixture(scope="module")
def tables(fake_results):
    return collect(*fake_results)


@pytest.fixture(scope="module")
def comparisons(tables):
    return comparisons_table(tables)


def test_failed_runs_stay_visible(fake, tmp_path):
    plan = fake.plan(tasks=VQA, losses=("ce", "logit_kd", "amad_kl"), seeds=3)
    for run in plan.runs:
        lost = run.id.endswith("logit_kd-none-s01") or "amad_kl" in run.id
        fake.write(tmp_path, run, status="diverged" if lost else "done")
    tables = collect(plan, tmp_path)
    rows = results_table(tables).query("primary").set_index("loss")
    assert rows[["n_seeds", "n_failed"]].to_dict("list") == {
        "n_seeds": [1, 3, 2, 0],
        "n_failed": [0, 0, 1, 3],
    }
    assert math.isnan(rows.at["amad_kl", "mean"])
    compared = comparisons_table(tables)
    assert compared["statement"].tolist() == ["not testable", "not testable"]
    assert compared["reason"].unique().tolist() == ["no replicate has scores of all arms"]
    assert compared["n_missing"].tolist() == [3, 3]
    assert headroom_table(tables)["difference"].notna().all()


def test_a_plan_without_results_gives_tables_all_the_same(fake, tmp_path):
    tables = collect(fake.plan(), tmp_path)
    assert results_table(tables)["mean"].isna().all()
    assert set(comparisons_table(tables)["statement"]) == {"not testable"}
    flags = headroom_table(tables)[["teacher_above_ce", "ce_below_ceiling", "images_matter"]]
    assert flags.isna().all(axis=None)


def test_headroom(tables):
    table = headroom_table(tables)
    assert table["metric"].tolist() == ["vqa_accuracy", "CIDEr", "BLEU", "vqa_accuracy", "CIDEr"]
    row = table.iloc[0]
    teacher = "vlt5-vqa-h8-teacher-none-s00"
    students = [f"vlt5-vqa-h8to2-ce-none-s0{seed}" for seed in range(2)]

    def score(run, split):
        return 100 * values(tables, run, "vqa_accuracy", split)["value"].mean()

    assert row["teacher"] == pytest.approx(score(teacher, "test"))
    assert row["ce"] == pytest.approx(np.mean([score(run, "test") for run in students]))
    assert row["difference"] == pytest.approx(row["teacher"] - row["ce"])
    assert row["majority"] == pytest.approx(score(teacher, "test_majority"))
    assert row["teacher_blind"] == pytest.approx(score(teacher, "test_blind"))
    assert row["ce_blind"] == pytest.approx(np.mean([score(run, "test_blind") for run in students]))
    assert bool(row["teacher_above_ce"]) is True
    assert bool(row["ce_below_ceiling"]) is True
    assert bool(row["majority_low"]) is False  # about 30 points in the generated scores
    assert bool(row["images_matter"]) is True
    assert bool(row["ce_above_majority"]) is True
    assert table.loc[table["task"] != "vqa", "images_matter"].isna().all()
    captions = values(tables, "vlt5-captioning-h8-teacher-none-s00", "CIDEr", "test")["value"]
    assert table.iloc[1]["teacher"] == pytest.approx(10 * captions.mean())  # CIDEr ends at 10


@pytest.mark.parametrize(
    ("teacher", "ce", "above", "below"),
    [(70, 60, True, True), (69, 60, False, True), (100, 95, False, False)],
)
def test_headroom_flags_at_their_limits(fake, tmp_path, teacher, ce, above, below):
    plan = fake.plan(tasks=VQA, losses=("ce",), seeds=1)
    for run, right in zip(plan.runs, (teacher, ce), strict=True):
        folder = fake.write(tmp_path, run)
        scores = pd.DataFrame(
            {
                "run_id": run.id,
                "split": "test",
                "metric": "vqa_accuracy",
                "example_id": [f"{number:03d}" for number in range(100)],
                "cluster_id": [f"{number:03d}" for number in range(100)],
                "value": [1.0] * right + [0.0] * (100 - right),
                "statistics": None,
            }
        )
        scores.to_parquet(folder / "scores.parquet", index=False)
    tables = collect(plan, tmp_path)
    row = headroom_table(tables).iloc[0]
    assert (row["teacher_above_ce"], row["ce_below_ceiling"]) == (above, below)
    assert pd.isna(row["images_matter"])


def test_a_setting_whose_only_metrics_are_unavailable_shows_no_number(fake, tmp_path):
    plan = fake.plan(tasks=(("vlt5", "captioning"),), losses=("ce", "amad_kl"))
    for run in plan.runs:
        folder = fake.write(tmp_path, run)
        if "amad_kl" in run.id:
            status = json.loads((folder / "status.json").read_text())
            (folder / "status.json").write_text(json.dumps(status | {"status": "metric_unavailable"}))
            pd.read_parquet(folder / "scores.parquet").head(0).to_parquet(folder / "scores.parquet")
    tables = collect(plan, tmp_path)
    rows = results_table(tables).query("primary").set_index("loss")
    assert rows["mean"].isna().to_dict() == {"teacher": False, "ce": False, "amad_kl": True}
    assert comparisons_table(tables)["n_missing"].tolist() == [2]


@pytest.mark.usefixtures("fake")
def test_headroom_of_no_students_has_its_columns(tables):
    only_teachers = tables.runs[tables.runs["kind"] == "teacher"]
    full = headroom_table(tables)
    empty = headroom_table(replace(tables, runs=only_teachers))
    assert empty.empty
    assert list(empty.columns) == list(full.columns)


def test_amad_against_every_other_loss(comparisons):
    assert len(comparisons) == 5 * 4
    assert set(comparisons["loss_a"]) == {"amad_kl"}
    assert comparisons["loss_b"].tolist()[:4] == ["ce", "logit_kd", "one_to_one", "student_mean"]
    assert not comparisons["registered"].any()
    assert set(comparisons["scope"]) == {"this teacher"}
    assert set(comparisons["n_clusters"]) == {60}


def test_comparison_is_paired_by_replicate_and_example(tables, comparisons):
    a, b = (
        np.stack(
            [
                values(tables, f"blip-vqa-h8to2-{loss}-none-s0{seed}", "vqa_accuracy")["value"]
                for seed in range(2)
            ]
        )
        for loss in ("amad_kl", "one_to_one")
    )
    clusters = values(tables, "blip-vqa-h8to2-ce-none-s00", "vqa_accuracy")["cluster_id"]
    expected = compare(100 * a, 100 * b, clusters=clusters)
    row = comparisons.query("family == 'blip' and task == 'vqa' and loss_b == 'one_to_one'").iloc[0]
    for column in ("difference", "ci_low", "ci_high", "p_value", "df_clusters"):
        assert row[column] == pytest.approx(getattr(expected, column))


def test_bleu_differences_are_those_of_sacrebleu(tables, comparisons):
    row = comparisons.query("task == 'translation' and loss_b == 'ce'").iloc[0]
    scores = [
        np.mean(
            [
                sacre_bleu(values(tables, f"vlt5-translation-h8to2-{loss}-none-s0{seed}", "BLEU"))
                for seed in range(2)
            ]
        )
        for loss in ("amad_kl", "ce")
    ]
    assert row["difference"] == pytest.approx(scores[0] - scores[1])
    assert "jackknife" in row["method"]


@pytest.mark.trap("stat-9")
def test_holm_within_the_setting_decides(fake, tmp_path):
    plan = fake.plan(tasks=(("vlt5", "vqa"), ("blip", "vqa")), seeds=3)
    for run in plan.runs:
        fake.write(tmp_path, run)
    tables = collect(plan, tmp_path)
    compared = comparisons_table(tables)
    for _, family in compared.groupby("family"):
        np.testing.assert_allclose(family["p_holm"], multipletests(family["p_value"], method="holm")[1])
    assert ((compared["p_holm"] <= 0.05) == (compared["statement"] == "better")).all()
    between = compared[(compared["p_value"] <= 0.05) & (compared["p_holm"] > 0.05)]
    assert len(between) > 0, "the generated scores should hold a case where the adjustment matters"
    assert set(between["statement"]) == {"inconclusive"}


def test_scores_over_other_examples_are_refused(fake, tmp_path):
    plan = fake.plan(tasks=VQA, losses=("ce", "amad_kl"), seeds=1)
    for run in plan.runs:
        folder = fake.write(tmp_path, run)
    pd.read_parquet(folder / "scores.parquet").iloc[1:].to_parquet(folder / "scores.parquet", index=False)
    tables = collect(plan, tmp_path)
    with pytest.raises(
        UserError, match=r"vqa_accuracy of run .*: its example_ids on the split test are not those"
    ):
        pairs_of_runs_table(tables)


def test_cider_on_few_images_is_flagged_in_every_table(fake, tmp_path):
    tasks = (("vlt5", "captioning"), ("blip", "captioning"), *VQA)
    plan = fake.plan(tasks=tasks, losses=("ce", "amad_kl"), seeds=1)
    for run in plan.runs:
        path = fake.write(tmp_path, run) / "scores.parquet"
        own = pd.read_parquet(path)
        few = run.config.family == "vlt5"
        own[own["example_id"] < ("e0049" if few else "e0050")].to_parquet(path, index=False)
    tables = collect(plan, tmp_path)
    for table in (headroom_table, pairs_of_runs_table):
        rows = table(tables).set_index(["family", "task"])["warning"]
        assert rows["vlt5", "captioning"].startswith("CIDEr on 49 images")
        assert rows["blip", "captioning"] == rows["vlt5", "vqa"] == ""
    empty = collect(plan, tmp_path / "nothing has run here")
    for table in (headroom_table, pairs_of_runs_table):
        assert set(table(empty)["warning"]) == {""}


def test_the_smallest_of_the_scores_is_warned_of(fake, tmp_path):
    plan = fake.plan(tasks=(("vlt5", "captioning"),), losses=("ce",), seeds=1)
    for run in plan.runs:
        path = fake.write(tmp_path, run) / "scores.parquet"
        own = pd.read_parquet(path)
        if run.kind == "student":
            own[own["example_id"] < "e0007"].to_parquet(path, index=False)
    tables = collect(plan, tmp_path)
    assert headroom_table(tables)["warning"].item().startswith("CIDEr on 7 images")


@pytest.mark.trap("stat-13")
def test_bleu_with_few_four_grams_is_not_testable(fake, tmp_path):
    plan = fake.plan(tasks=(("vlt5", "translation"),), losses=("ce", "amad_kl"))
    for run in plan.runs:
        folder = fake.write(tmp_path, run)
        if run.id.endswith("ce-none-s01"):
            scores = pd.read_parquet(folder / "scores.parquet")
            is_bleu = scores["metric"] == "BLEU"
            few = [10.0, 10, 4, 2, 1, 0, 10, 9, 8, 7]
            changed = [few] * is_bleu.sum()
            changed[0] = [*few[:5], 19.0, *few[6:]]
            scores.loc[is_bleu, "statistics"] = pd.Series(changed, index=scores.index[is_bleu], dtype=object)
            scores.to_parquet(folder / "scores.parquet", index=False)
    tables = collect(plan, tmp_path)
    row = comparisons_table(tables).iloc[0]
    assert row["statement"] == "not testable"
    assert "19 four-gram matches, 20 are needed" in row["reason"]
    assert math.isnan(row["p_value"])
    assert row["difference"] > 0


@pytest.mark.trap("stat-12")
def test_another_teacher_per_replicate_widens_the_scope(fake, tmp_path):
    plan = fake.plan(tasks=VQA, losses=("ce", "amad_kl"), changes={"teacher_per": "replicate"})
    for run in plan.runs:
        fake.write(tmp_path, run)
    tables = collect(plan, tmp_path)
    assert comparisons_table(tables)["scope"].tolist() == ["teachers of this kind"]


def test_students_of_other_sizes_are_never_compared_with_each_other(fake, tmp_path):
    teacher, *students = fake.plan(tasks=VQA, losses=("ce", "amad_kl")).runs
    deeper = fake.plan(tasks=VQA, losses=("ce", "amad_kl"), changes={"models.vlt5.student.layers": 3})
    larger = [replace(run, id=run.id.replace("h8to2", "large")) for run in deeper.runs[1:]]
    runs = [fake.pretrain(), teacher, *students, *larger]
    for run in runs:
        fake.write(tmp_path, run)
    tables = collect(Plan(runs), tmp_path)
    compared = comparisons_table(tables)
    assert compared["student_shape"].tolist() == ["2x48", "3x48"]
    assert compared["n_seeds"].tolist() == [2, 2]
    for row, setting in zip(compared.to_dict("records"), (students, larger), strict=True):
        means = {}
        for loss in ("amad_kl", "-ce-"):
            own = [values(tables, run.id, "vqa_accuracy")["value"] for run in setting if loss in run.id]
            means[loss] = 100 * np.mean([scores.mean() for scores in own])
        assert row["difference"] == pytest.approx(means["amad_kl"] - means["-ce-"])
    rows = results_table(tables).query("primary")
    assert rows["student_shape"].tolist() == ["2x48"] * 3 + ["3x48"] * 3
    assert rows["n_seeds"].tolist() == [1, 2, 2] * 2
    headroom = headroom_table(tables)
    assert headroom[["student_shape", "cut"]].to_numpy().tolist() == [["2x48", "random"], ["3x48", "random"]]


@pytest.mark.parametrize("table", [headroom_table, comparisons_table])
def test_tables_read_from_files_give_the_same(tables, tmp_path, table):
    write_table(tables.runs, tmp_path / "runs")
    write_table(tables.scores, tmp_path / "scores")
    read = {name: pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("runs", "scores")}
    pd.testing.assert_frame_equal(table(replace(tables, **read)), table(tables))


@pytest.mark.parametrize("table", [headroom_table, comparisons_table])
def test_what_was_seen_and_shared_images_stand_in_every_row(fake, tmp_path, table):
    plan = fake.plan(tasks=(*VQA, ("blip", "vqa")), losses=("ce", "amad_kl"), seeds=3)
    for run in plan.runs[:-1]:
        overlap = {"train/test": 1409} if run.config.family == "vlt5" else {}
        fake.write(tmp_path, run, data={"image_overlap": overlap, "features": f"of {run.config.family}"})
    tables = collect(plan, tmp_path)
    rows = table(tables)
    found = rows[["family", "features", "image_overlap"]].drop_duplicates().to_numpy().tolist()
    assert found == [["vlt5", "of vlt5", "train/test 1409"], ["blip", "of blip", "none"]]


@pytest.mark.trap("stat-1")
def test_an_assistant_is_compared_with_its_absence_and_is_no_rival() -> None:
    def rows(name: str, assistant: str | None = None) -> pd.DataFrame:
        return pd.DataFrame({"loss_name": [name], "assistant": [assistant]})

    losses = {
        "ce": rows("ce"),
        "head_mean": rows("head_mean"),
        "amad_kl": rows("amad"),
        "head_mean_via4": rows("head_mean", "amad_kl with 4 heads"),
        "amad_via4": rows("amad", "amad_kl with 4 heads"),
    }
    assert _pairs(losses) == [
        ("amad_kl", "ce"),
        ("amad_kl", "head_mean"),
        ("head_mean_via4", "head_mean"),
        ("amad_via4", "amad_kl"),
    ]
