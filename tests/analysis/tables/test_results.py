"""The results table: means, subsets, further test splits, extra metrics, and what must be known of them."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from amad_bench.analysis.collect import collect
from amad_bench.analysis.settings import SETTING
from amad_bench.analysis.tables.results import results_table
from amad_bench.runtime.files import write_table
from tests.analysis.oracles import sacre_bleu, values

VQA = (("vlt5", "vqa"),)
CAPTIONING = (("vlt5", "captioning"),)
TRANSLATION = (("vlt5", "translation"),)


@pytest.fixture(scope="module")
def tables(fake_results):
    return collect(*fake_results)


@pytest.fixture(scope="module")
def results(tables):
    return results_table(tables)


def test_one_row_per_setting_loss_subset_and_metric(results):
    assert not results.duplicated([*SETTING, "loss", "split", "subset", "metric"]).any()
    assert set(results["split"]) == {"test"}
    per_loss = {"vqa": 2, "captioning": 6, "translation": 4}
    assert len(results.query("subset == 'all'")) == 6 * sum(
        per_loss[task] for task in ("vqa", "captioning", "translation", "vqa", "captioning")
    )
    primary = results[results["primary"]]
    assert len(primary) == 5 * 6
    assert set(primary["subset"]) == {"all"}
    assert set(zip(primary["task"], primary["metric"], strict=True)) == {
        ("vqa", "vqa_accuracy"),
        ("captioning", "CIDEr"),
        ("translation", "BLEU"),
    }
    assert primary.groupby("loss")["n_seeds"].unique().map(list).to_dict() == {
        "teacher": [1],
        **{loss: [2] for loss in ("ce", "logit_kd", "one_to_one", "student_mean", "amad_kl")},
    }


def test_means_in_points(tables, results):
    def mean(task, loss, metric):
        rows = results.query("family == 'vlt5' and task == @task and loss == @loss and metric == @metric")
        return rows.query("subset == 'all'")["mean"].item()

    runs = [f"vlt5-vqa-h8to2-amad_kl-none-s0{seed}" for seed in range(2)]
    expected = np.mean([100 * values(tables, run, "vqa_accuracy")["value"].mean() for run in runs])
    assert mean("vqa", "amad_kl", "vqa_accuracy") == pytest.approx(expected)
    cider = values(tables, "vlt5-captioning-h8-teacher-none-s00", "CIDEr")["value"].mean()
    assert mean("captioning", "teacher", "CIDEr") == pytest.approx(100 * cider)
    runs = [f"vlt5-translation-h8to2-ce-none-s0{seed}" for seed in range(2)]
    expected = np.mean([sacre_bleu(values(tables, run, "BLEU")) for run in runs])
    assert mean("translation", "ce", "BLEU") == pytest.approx(expected)


def test_intervals_lie_around_the_means(results):
    assert (results["ci_low"] < results["mean"]).all()
    assert (results["mean"] < results["ci_high"]).all()


def test_questions_by_answer_type_and_domain(tables, results):
    rows = results.query("family == 'vlt5' and task == 'vqa' and loss == 'ce' and metric == 'vqa_accuracy'")
    assert rows["subset"].tolist() == [
        "all",
        "answer_type: number",
        "answer_type: other",
        "answer_type: yes/no",
        "domain: in",
        "domain: out",
    ]
    assert rows["n_examples"].tolist() == [240, 80, 80, 80, 192, 48]
    scores = [
        values(tables, f"vlt5-vqa-h8to2-ce-none-s0{seed}", "vqa_accuracy")["value"] for seed in range(2)
    ]
    by_subset = rows.set_index("subset")["mean"]
    for subset, place in (("yes/no", 0), ("number", 1), ("other", 2)):  # as the fixture deals them out
        expected = np.mean([100 * run.to_numpy()[place::3].mean() for run in scores])
        assert by_subset[f"answer_type: {subset}"] == pytest.approx(expected)
    expected = np.mean([100 * run.to_numpy()[::5].mean() for run in scores])
    assert by_subset["domain: out"] == pytest.approx(expected)


def test_whole_split_first_and_questions_only_have_subsets(results):
    for _, rows in results.groupby([*SETTING, "loss"], dropna=False):
        whole = rows["subset"] == "all"
        assert whole.to_numpy()[: whole.sum()].all()
    assert set(results.query("task != 'vqa'")["subset"]) == {"all"}


def test_sums_of_corpus_metrics_run_over_the_subset(fake, tmp_path):
    plan = fake.plan(tasks=TRANSLATION, losses=("ce",), seeds=1)
    for run in plan.runs:
        fake.write(tmp_path, run)
    tables = collect(plan, tmp_path)
    ids = [f"e{number:04d}" for number in range(0, 240, 2)]
    groups = {"dataset": "scenes", "task": "translation", "seed": "0", "split": "test"}
    groups |= {"group": "domain", "value": "in"}
    examples = pd.DataFrame([groups | {"example_id": example} for example in ids])
    rows = results_table(replace(tables, examples=examples)).query("metric == 'BLEU' and loss == 'ce'")
    page = values(tables, plan.runs[-1].id, "BLEU")
    expected = [sacre_bleu(page), sacre_bleu(page[page["example_id"].isin(ids)])]
    assert rows["mean"].tolist() == pytest.approx(expected)
    assert expected[0] != pytest.approx(expected[1])


@pytest.fixture
def with_further_tests(fake, tmp_path):
    """A translation run scored on three tests; those of amad_kl failed."""
    plan = fake.plan(tasks=TRANSLATION, losses=("ce", "amad_kl"))
    tests = {"language": "de", "tests": ["t2016", "t2018", "t2017"]}
    dataset = plan.runs[0].config.dataset.model_copy(update={"name": "multi30k", "options": tests})
    plan = replace(plan, runs=[fake.vary(run, dataset=dataset) for run in plan.runs])
    for run in plan.runs:
        path = fake.write(tmp_path, run, status="diverged" if "amad" in run.id else "done") / "scores.parquet"
        if "amad" not in run.id:
            own = pd.read_parquet(path)
            further = own[own["split"] == "test"].assign(split="t2017").iloc[:-1]
            further["example_id"] = "x" + further["example_id"]
            pd.concat([own, further, further.assign(split="t2018")]).to_parquet(path, index=False)
    return plan


def test_every_test_set_has_its_name_and_the_first_one_is_primary(with_further_tests, tmp_path):
    tables = collect(with_further_tests, tmp_path)
    rows = results_table(tables)
    assert rows["split"].drop_duplicates().tolist() == ["t2016", "t2018", "t2017"]  # in the config's order
    assert set(rows["subset"]) == {"all"}
    primary = rows[rows["primary"]]
    assert set(zip(primary["split"], primary["metric"], strict=True)) == {("t2016", "BLEU")}
    assert primary["loss"].tolist() == ["teacher", "ce", "amad_kl"]
    further = rows.query("split == 't2017' and metric == 'TER'").set_index("loss")
    assert further["n_examples"].to_dict() == {"teacher": 239, "ce": 239, "amad_kl": 0}
    assert further["n_failed"].to_dict() == {"teacher": 0, "ce": 0, "amad_kl": 2}
    assert further["mean"].isna().to_dict() == {"teacher": False, "ce": False, "amad_kl": True}


def test_further_test_sets_stay_where_every_run_failed(with_further_tests, tmp_path):
    tables = collect(with_further_tests, tmp_path / "nothing has run here")
    rows = results_table(tables)
    assert rows.groupby(["loss", "split"]).size().to_dict() == {
        (loss, split): 4 for loss in ("teacher", "ce", "amad_kl") for split in ("t2016", "t2017", "t2018")
    }
    assert rows["mean"].isna().all()


def test_cider_on_few_images_is_flagged(fake, tmp_path):
    plan = fake.plan(tasks=CAPTIONING, losses=("ce",), seeds=1)
    for run, images in zip(plan.runs, (49, 50), strict=True):
        path = fake.write(tmp_path, run) / "scores.parquet"
        own = pd.read_parquet(path)
        own[own["example_id"] < f"e{images:04d}"].to_parquet(path, index=False)
    tables = collect(plan, tmp_path)
    rows = results_table(tables)
    flagged = rows[rows["warning"] != ""]
    assert flagged[["loss", "metric", "n_examples"]].to_numpy().tolist() == [["teacher", "CIDEr", 49]]
    assert "49" in flagged["warning"].item()


@pytest.fixture
def with_extra(fake, tmp_path):
    """Captions and questions. All captioning runs but one have SPICE, METEOR is unavailable."""
    plan = fake.plan(tasks=(*CAPTIONING, *VQA), losses=("ce",), extra_metrics=("METEOR", "SPICE"))
    frames, sources = [], {}
    for run in plan.runs:
        folder = fake.write(tmp_path, run)
        own = pd.read_parquet(folder / "scores.parquet")
        if "captioning" in run.id and not run.id.endswith("ce-none-s01"):
            frames.append(own[(own["metric"] == "Bleu_1") & (own["split"] == "test")].assign(metric="SPICE"))
            sources[run.id] = hashlib.sha256((folder / "predictions.jsonl").read_bytes()).hexdigest()
    pd.concat(frames).to_parquet(tmp_path / "extra_scores.parquet", index=False)
    reasons = {"METEOR": dict.fromkeys(sources, "no Java")}
    facts = {"unavailable": reasons, "signatures": {}, "sources": {"SPICE": sources, "METEOR": sources}}
    (tmp_path / "extra_scores.json").write_text(json.dumps(facts))
    return plan, collect(plan, tmp_path)


def test_extra_metrics_stand_behind_the_others(with_extra):
    plan, tables = with_extra
    rows = results_table(tables)
    of_ce = rows.query("task == 'captioning' and loss == 'ce'")
    assert of_ce["metric"].tolist()[-2:] == ["METEOR", "SPICE"]
    assert of_ce["n_seeds"].tolist() == [2] * 6 + [0, 1]
    assert of_ce["n_failed"].tolist() == [0] * 6 + [2, 1]
    expected = 100 * values(tables, "vlt5-captioning-h8to2-ce-none-s00", "SPICE")["value"].mean()
    assert of_ce["mean"].iloc[-1] == pytest.approx(expected)
    assert np.isnan(of_ce["mean"].iloc[-2])
    assert not rows[rows["metric"].isin(plan.extra_metrics)]["primary"].any()
    assert set(rows.query("task == 'vqa'")["metric"]) == {"vqa_accuracy", "vqa_accuracy_2021"}


def test_extra_scores_that_nobody_asked_for_are_not_shown(with_extra):
    plan, tables = with_extra
    assert "SPICE" in set(tables.scores["metric"])
    rows = results_table(replace(tables, plan=replace(plan, extra_metrics=("METEOR",))))
    assert set(rows["metric"]) & {"METEOR", "SPICE"} == {"METEOR"}
    rows = results_table(replace(tables, plan=replace(plan, extra_metrics=())))
    assert not set(rows["metric"]) & {"METEOR", "SPICE"}


def test_a_gap_in_an_extra_metric_has_a_failure(with_extra):
    plan, tables = with_extra
    rows = results_table(tables)
    short = rows[rows["metric"].isin(plan.extra_metrics) & (rows["n_failed"] > 0)]["metric"]
    assert {reason.split(":")[0] for reason in tables.failures["reason"]} == set(short) == {"METEOR", "SPICE"}


def test_features_and_shared_images_of_a_setting(fake, tmp_path):
    plan = fake.plan(tasks=(*VQA, ("blip", "vqa"), *TRANSLATION), losses=("ce",))
    seen = {"vlt5": "36 regions from file.h5", "blip": "pixels"}
    for run in plan.runs:
        if run.config.task == "vqa":
            overlap = {"train/test": 1409, "train/validation": 3} if run.config.family == "vlt5" else {}
            data = {"image_overlap": overlap, "features": seen[run.config.family]}
            fake.write(tmp_path, run, data=data)
    tables = collect(plan, tmp_path)
    rows = results_table(tables)
    found = rows[["family", "task", "features", "image_overlap"]].drop_duplicates().to_numpy().tolist()
    assert found == [
        ["vlt5", "vqa", "36 regions from file.h5", "train/test 1409; train/validation 3"],
        ["blip", "vqa", "pixels", "none"],
        ["vlt5", "translation", "unknown", "unknown"],  # not run
    ]


def test_what_differs_between_the_runs_of_a_setting_is_all_there(fake, tmp_path):
    plan = fake.plan(tasks=VQA, losses=("ce", "amad_kl"), seeds=1)
    for run in plan.runs:
        fake.write(tmp_path, run, data={"features": "old" if run.kind == "teacher" else "new"})
    tables = collect(plan, tmp_path)
    rows = results_table(tables)
    assert set(rows["features"]) == {"old | new"}


def test_a_table_read_from_files_is_the_same(tables, results, tmp_path):
    read = {}
    for name in ("runs", "scores", "examples"):
        write_table(getattr(tables, name), tmp_path / name)
        read[name] = pd.read_parquet(tmp_path / f"{name}.parquet")
    pd.testing.assert_frame_equal(results_table(replace(tables, **read)), results)
