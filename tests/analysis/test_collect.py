"""collect(): every planned run is a row, nothing is mixed, equal science gives equal bytes."""

import json

import numpy as np
import pandas as pd
import pytest

from amad_bench.analysis.collect import collect
from amad_bench.plan.plan import Plan, Skip
from amad_bench.plan.run_config import UsedTokenizer
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import write_table
from amad_bench.runtime.locks import exclusive
from amad_bench.runtime.run_folder.scores import SCORE_COLUMNS

VQA = (("vlt5", "vqa"),)


def test_one_row_per_planned_run_with_its_axes(fake_results):
    plan, results = fake_results
    tables = collect(plan, results)
    assert tables.runs["run_id"].tolist() == [run.id for run in plan.runs]
    assert set(tables.runs["status"]) == {"done"}
    assert tables.failures.empty
    row = tables.runs.set_index("run_id").loc["vlt5-vqa-h8to2-amad_kl-none-s01"]
    seeds = next(run for run in plan.runs if run.id == row.name).config.seeds
    expected = {
        "kind": "student",
        "teacher_id": "vlt5-vqa-h8-teacher-none-s00",
        "family": "vlt5",
        "task": "vqa",
        "dataset": "scenes",
        "dataset_options": '{"seed": 0, "test_images": 12, "train_images": 40, "validation_images": 8}',
        "vocabulary": 400,
        "seeds": json.dumps(dict(seeds), sort_keys=True),
        "signatures": "{}",
        "limit": "no data limit",
        "examples": "6000",
        "features": "raw patches of regions",
        "image_overlap": "none",
        "tokenizer_sha256": "abcdef01",
        "split_examples": '{"test": 240, "train": 6000, "validation": 200}',
        "with_image": '{"test": 240, "train": 5000, "validation": 200}',
        "left_out": '{"val2014": 7}',
        "answers": 3129,
        "inputs": "regions: boxes file, crop 8, max regions 8",
        "teacher_heads": 8,
        "student_heads": 2,
        "student_shape": "2x48",
        "heads_keep": "inner_width",
        "heads": 2,
        "layers": 2,
        "width": 48,
        "feed_forward": 192,
        "head_size": 24,
        "shape": "2x48",
        "cut": "random",
        "start": "random",
        "head_map": "{}",
        "flops_per_example": 2_000_000_000_000,
        "teacher_pretraining": "none",
        "pretraining": "none",
        "loss": "amad_kl",
        "loss_name": "amad",
        "loss_options": '{"detach_alignment": false, "head_reduction": "sum", "kernel": "auto", '
        '"query_rows": 0, "row_reduction": "mean", "similarity": "cosine", "temperature": 1.0, '
        '"variant": "kl"}',
        "replicate": 1,
        "parameters": 150000,
        "best_step": 800,
        "train_seconds": 38.0,
        "torch": "2.13.0",
        "commit": "a" * 40,
    }
    assert row[list(expected)].to_dict() == expected
    teacher = tables.runs.set_index("run_id").loc["vlt5-vqa-h8-teacher-none-s00"]
    assert teacher["teacher_heads"] == 8
    assert pd.isna(teacher["student_heads"])
    assert pd.isna(teacher["student_shape"])
    assert (teacher["heads"], teacher["shape"]) == (8, "2x48")
    assert pd.isna(teacher["teacher_id"])


@pytest.mark.parametrize("without", ["a status", "data", "its data yet"])
def test_what_a_run_did_not_write_about_its_data_is_unknown(fake, tmp_path, without):
    run = fake.plan(tasks=VQA).runs[0]
    path = fake.write(tmp_path, run, status="out_of_memory") / "status.json"
    status = json.loads(path.read_text())
    if without == "a status":
        path.unlink()
    elif without == "data":
        del status["data"]
        path.write_text(json.dumps(status))
    else:
        path.write_text(json.dumps(status | {"data": {}}))
    (row,) = collect(Plan([run]), tmp_path).runs.to_dict("records")
    columns = ["features", "image_overlap", "tokenizer_sha256", "split_examples"]
    columns += ["with_image", "left_out", "answers"]
    assert all(pd.isna(row[column]) for column in columns)


def test_a_run_that_failed_before_it_had_a_model_has_no_head_map_and_no_cost(fake, tmp_path):
    run = fake.plan(tasks=VQA).runs[0]
    path = fake.write(tmp_path, run, status="pretraining_failed", reason="diverged") / "status.json"
    status = json.loads(path.read_text())
    del status["head_map"], status["flops_per_example"]
    path.write_text(json.dumps(status))
    tables = collect(Plan([run]), tmp_path)
    (row,) = tables.runs.to_dict("records")
    assert pd.isna(row["head_map"])
    assert pd.isna(row["flops_per_example"])
    assert tables.failures[["status", "reason"]].to_numpy().tolist() == [["pretraining_failed", "diverged"]]


def test_head_maps_and_starts_are_columns(fake, tmp_path):
    changes = {"pretraining.student": ["vl"], "models.vlt5.student.cut": "inherit"}
    first, _, run = fake.plan(tasks=VQA, losses=("ce",), seeds=1, changes=changes).runs
    fake.write(tmp_path, first)
    path = fake.write(tmp_path, run) / "status.json"
    heads = {"encoder.self": [[0], [1]]}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"head_map": heads}))
    runs = collect(Plan([first, run]), tmp_path).runs
    assert runs["head_map"].tolist() == ["{}", '{"encoder.self": [[0], [1]]}']
    assert runs["start"].tolist() == ["random", f"pretrain run {first.id}"]
    assert runs["cut"].tolist() == ["random", "inherit first"]


@pytest.mark.parametrize("status", ["done", "diverged", None])
def test_a_pre_training_is_a_row_without_scores(fake, tmp_path, status):
    plan = fake.plan(tasks=VQA, losses=("ce",), seeds=1)
    first = fake.pretrain()
    for run in plan.runs:
        fake.write(tmp_path, run)
    if status:
        fake.write(tmp_path, first, status=status, reason="loss is NaN")
    tables = collect(Plan([first, *plan.runs]), tmp_path)
    row = tables.runs.iloc[0]
    assert (row["kind"], row["task"], row["dataset"]) == ("pretrain", "pretraining", "scenes")
    assert row["status"] == (status or "not_run")
    assert first.id not in set(tables.scores["run_id"]) | set(tables.learning_curves["run_id"])
    failed = [] if status == "done" else [[first.id, "pretrain", "pretraining", status or "not_run"]]
    assert tables.failures[["run_id", "kind", "task", "status"]].to_numpy().tolist() == failed


def test_curves_hold_every_validation_of_the_runs_that_ended(fake, tmp_path):
    never, *runs = fake.plan(tasks=VQA, losses=("ce",), seeds=3).runs[::-1]
    unfinished, diverged, teacher = runs
    for run in runs:
        fake.write(tmp_path, run, status="diverged" if run is diverged else "done")
    (tmp_path / "runs" / unfinished.id / "status.json").unlink()
    fake.steps(tmp_path / "runs" / diverged.id, {10: 0.25})
    fake.steps(tmp_path / "runs" / teacher.id, {10: 0.5, 20: 0.75})
    curves = collect(Plan([teacher, diverged, unfinished, never]), tmp_path).learning_curves
    assert curves.columns.tolist() == [
        *("run_id", "kind", "family", "task", "dataset", "heads", "loss", "pretraining", "replicate", "step"),
        *("validation_token_accuracy", "validation_loss"),
    ]
    of_teacher = [teacher.id, "teacher", "vlt5", "vqa", "scenes", 8, "ce", "none", 0]
    of_student = [diverged.id, "student", "vlt5", "vqa", "scenes", 2, "ce", "none", 0]
    assert curves.to_numpy().tolist() == [
        [*of_teacher, 10, 0.5, 0.5],
        [*of_teacher, 20, 0.75, 0.25],
        [*of_student, 10, 0.25, 0.75],
    ]


def test_a_run_that_ended_before_its_first_step_has_no_curve(fake, tmp_path):
    run = fake.plan(tasks=VQA).runs[0]
    (fake.write(tmp_path, run, status="out_of_memory") / "steps.jsonl").unlink()
    curves = collect(Plan([run]), tmp_path).learning_curves
    assert curves.empty
    write_table(curves, tmp_path / "curves")
    assert pd.read_parquet(tmp_path / "curves.parquet").dtypes.astype(str).to_dict() == (
        curves.dtypes.astype(str).to_dict()
    )


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ('{"step": 1}\n{"step": 2, "validation_token_accuracy": 0.', "line 2: step, validation_token"),
        ('{"step": 2, "validation_token_accuracy": null, "validation_loss": 1}', "line 1: step, validation"),
        ('{"validation_token_accuracy": 0.5, "validation_loss": 1}', "line 1: step, validation_token"),
    ],
)
def test_a_damaged_step_log_names_the_file(fake, tmp_path, log, said):
    run = fake.plan(tasks=VQA).runs[0]
    path = fake.write(tmp_path, run) / "steps.jsonl"
    path.write_text(log)
    with pytest.raises(UserError, match=rf"steps\.jsonl: {said}.*; delete the run's folder"):
        collect(Plan([run]), tmp_path)


def test_a_tokenizer_from_elsewhere_has_no_vocabulary_of_ours(fake, tmp_path):
    elsewhere = UsedTokenizer(folder="t5-base", hash="0123")  # a config's would have to be there
    run = fake.vary(fake.plan(tasks=VQA).runs[0], tokenizer=elsewhere)
    fake.write(tmp_path, run)
    runs = collect(Plan([run]), tmp_path).runs
    assert pd.isna(runs["vocabulary"].item())
    assert runs["tokenizer_sha256"].item() == "abcdef01"


def test_scores_are_all_there_sorted_and_nothing_else(fake_results, fake):
    plan, results = fake_results
    scores = collect(plan, results).scores
    assert list(scores.columns) == SCORE_COLUMNS
    assert len(scores) == sum(len(fake.scores(run)) for run in plan.runs)
    keys = scores[SCORE_COLUMNS[:4]]
    assert keys.equals(keys.sort_values(SCORE_COLUMNS[:4], ignore_index=True))
    statistics = scores.loc[scores["metric"] == "chrF2", "statistics"].iloc[0]
    assert isinstance(statistics, list)
    assert len(statistics) == 18


def test_equal_science_gives_equal_bytes(fake, tmp_path):
    """Written in another order, on another machine, in another time: the same table of scores."""
    plan = fake.plan(tasks=(("vlt5", "translation"),), losses=("ce", "amad_kl"))
    for name, order in (("a", plan.runs), ("b", plan.runs[::-1])):
        for run in order:
            folder = fake.write(tmp_path / name, run)
            if name == "b":
                status = json.loads((folder / "status.json").read_text())
                (folder / "status.json").write_text(json.dumps(status | {"wall_seconds": 99.0}))
        write_table(collect(plan, tmp_path / name).scores, tmp_path / name / "scores")
    for suffix in (".parquet", ".csv"):
        contents = [(tmp_path / name / f"scores{suffix}").read_bytes() for name in "ab"]
        assert contents[0] == contents[1]


def test_missing_unfinished_and_failed_runs_are_rows(fake, tmp_path):
    plan = fake.plan(tasks=VQA, losses=("ce", "amad_kl"))
    never, unfinished, diverged, *rest = plan.runs[::-1]
    for run in rest:
        fake.write(tmp_path, run)
    (fake.write(tmp_path, unfinished) / "status.json").unlink()
    fake.write(tmp_path, diverged, status="diverged", reason="loss is NaN at step 120")
    tables = collect(plan, tmp_path)
    assert len(tables.runs) == len(plan.runs)
    failures = tables.failures.set_index("run_id")
    assert failures["status"].to_dict() == {
        never.id: "not_run",
        unfinished.id: "interrupted",
        diverged.id: "diverged",
    }
    assert failures.loc[diverged.id, "reason"] == "loss is NaN at step 120"
    assert failures.loc[diverged.id, "log_tail"] == "line one\nline two"
    assert failures.loc[unfinished.id, "reason"] == "started, never finished"
    assert set(tables.scores["run_id"]) == {run.id for run in rest}


def test_nothing_has_run_yet(fake, tmp_path):
    plan = fake.plan(tasks=VQA)
    tables = collect(plan, tmp_path)
    assert len(tables.failures) == len(plan.runs)
    assert list(tables.scores.columns) == SCORE_COLUMNS
    write_table(tables.runs, tmp_path / "runs")
    write_table(tables.scores, tmp_path / "scores")


def test_scores_of_a_run_that_lacks_one_metric_are_kept(fake, tmp_path):
    (run,) = [run for run in fake.plan(tasks=VQA, seeds=1).runs if run.config.loss.label == "amad_kl"]
    folder = fake.write(tmp_path, run)
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(
        json.dumps(status | {"status": "metric_unavailable", "reason": "no Java"})
    )
    tables = collect(Plan([run]), tmp_path)
    assert tables.failures["reason"].tolist() == ["no Java"]
    assert len(tables.scores) > 0


def test_a_run_without_any_available_metric_is_a_failure_and_no_error(fake, tmp_path):
    runs = [run for run in fake.plan(tasks=VQA, seeds=1).runs if run.config.loss.name == "ce"]
    folders = [fake.write(tmp_path, run, status="metric_unavailable", reason="no Java") for run in runs]
    for folder in folders:
        pd.DataFrame(columns=SCORE_COLUMNS).to_parquet(folder / "scores.parquet", index=False)
    tables = collect(Plan(runs), tmp_path)
    assert tables.failures["run_id"].tolist() == [run.id for run in runs]
    assert list(tables.scores.columns) == SCORE_COLUMNS
    assert tables.scores.empty
    status = json.loads((folders[0] / "status.json").read_text())
    (folders[0] / "status.json").write_text(json.dumps(status | {"status": "done"}))
    with pytest.raises(UserError, match=r"scores\.parquet: rows of run .* were expected"):
        collect(Plan(runs), tmp_path)


def test_skipped_combinations_are_rows_of_the_failures(fake, tmp_path):
    plan = fake.plan(tasks=VQA, losses=("ce",), seeds=1, limit={"train": 20, "validation": 2, "test": 3})
    for run in plan.runs[1:]:
        fake.write(tmp_path, run)
    skip = Skip("vlt5-vqa-scenes-h8to2-one_to_one", "8 heads and 2", "vlt5", "vqa", "scenes")
    tables = collect(Plan(plan.runs, [skip]), tmp_path)
    assert len(tables.runs) == 2
    failed, skipped = tables.failures.to_dict("records")
    assert (failed["status"], failed["limit"]) == ("not_run", "limited to train 20, validation 2, test 3")
    assert (skipped["run_id"], skipped["status"], skipped["reason"]) == (skip.setting, "skipped", skip.reason)
    assert (skipped["family"], skipped["task"], skipped["dataset"]) == ("vlt5", "vqa", "scenes")
    write_table(tables.failures, tmp_path / "failures")


def test_signatures_come_from_the_status(fake, tmp_path):
    (_, run) = fake.plan(tasks=VQA, losses=("ce",), seeds=1).runs
    path = fake.write(tmp_path, run) / "status.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"signatures": {"BLEU": "nrefs:1|case:mixed"}}))
    assert collect(Plan([run]), tmp_path).runs["signatures"].tolist() == ['{"BLEU": "nrefs:1|case:mixed"}']


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"versions": {"training": 2}}, "versions"),
        ({"replicate": 5}, "replicate is 5, the plan says 0"),
        ({"unheard_of": 1}, "unheard_of is 1, unknown to the plan"),
    ],
)
def test_other_versions_are_not_mixed_in(fake, tmp_path, change, said):
    run = fake.plan(tasks=VQA).runs[0]
    fake.write(tmp_path, run, **change)
    tables = collect(Plan([run]), tmp_path)
    (failure,) = tables.failures.to_dict("records")
    assert (failure["run_id"], failure["status"]) == (run.id, "not_run")
    assert f"runs/{run.id}/run.json belongs to another config" in failure["reason"]
    assert said in failure["reason"]
    assert tables.scores.empty
    assert tables.learning_curves.empty
    assert tables.examples.empty
    assert "commit" not in tables.runs  # nor is another's provenance its own


def test_other_data_are_not_mixed_in(fake, tmp_path):
    run = fake.plan(tasks=VQA).runs[0]
    dataset = run.config.dataset
    fake.write(tmp_path, run, dataset=dataset.canonical() | {"hash": "ffff"})
    (reason,) = collect(Plan([run]), tmp_path).failures["reason"]
    assert f"dataset.hash is 'ffff', the plan says '{dataset.hash}'" in reason


@pytest.mark.parametrize("name", ["scores.parquet", "predictions.jsonl", "steps.jsonl", "run.json"])
def test_a_run_that_lacks_a_file_is_left_and_so_is_its_row(fake, tmp_path, name):
    teacher, run = fake.plan(tasks=VQA, losses=("ce",), seeds=1).runs
    fake.write(tmp_path, teacher)
    (fake.write(tmp_path, run) / name).unlink()
    tables = collect(Plan([teacher, run]), tmp_path)
    assert tables.runs["status"].tolist() == ["done", "not_run"]
    assert set(tables.scores["run_id"]) == {teacher.id}


def test_a_damaged_status_is_left_and_named(fake, tmp_path):
    run = fake.plan(tasks=VQA).runs[0]
    path = fake.write(tmp_path, run) / "status.json"
    path.write_text("{")
    (failure,) = collect(Plan([run]), tmp_path).failures.to_dict("records")
    assert failure["status"] == "not_run"
    assert str(path) in failure["reason"]


def test_a_running_run_is_a_row(fake, tmp_path):
    run = fake.plan(tasks=VQA).runs[0]
    (tmp_path / "runs" / run.id).mkdir(parents=True)
    with exclusive(tmp_path / "runs" / run.id):
        assert collect(Plan([run]), tmp_path).failures["status"].tolist() == ["running"]


@pytest.mark.parametrize("damage", ["broken", "other run", "other columns"])
def test_damaged_scores_name_the_file(fake, tmp_path, damage):
    run = fake.plan(tasks=VQA).runs[0]
    path = fake.write(tmp_path, run) / "scores.parquet"
    scores = pd.read_parquet(path)
    if damage == "broken":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "other run":
        scores.assign(run_id="another").to_parquet(path)
    else:
        scores.drop(columns="cluster_id").to_parquet(path)
    with pytest.raises(UserError, match=r"scores\.parquet.*delete"):
        collect(Plan([run]), tmp_path)


def test_values_survive_the_way_through_the_files(fake, tmp_path):
    run = fake.plan(tasks=VQA).runs[0]
    fake.write(tmp_path, run)
    ours = collect(Plan([run]), tmp_path).scores.query("metric == 'vqa_accuracy' and split == 'test'")
    written = fake.scores(run).query("metric == 'vqa_accuracy' and split == 'test'").sort_values("example_id")
    np.testing.assert_array_equal(ours["value"], written["value"])
