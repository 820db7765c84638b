"""The results folder with known truth holds it, and the tables across blocks find it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from amad_bench.analysis.blocks.tables import block_differences_table, blocks_table
from amad_bench.analysis.collect import collect
from amad_bench.analysis.collected import Collected
from amad_bench.data.sources import scenes
from amad_bench.plan.catalogue import DATASETS
from amad_bench.plan.config.schema import Config
from amad_bench.plan.grid import possible_plan
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import SHARED
from amad_bench.runtime.run_folder.steps import read_training
from tests.truth import Truth, of_size, write_truth
from tests.truth_texts import PER_IMAGE, texts_of

EFFECTS = {"ce": 0.0, "one_to_one": 4.0, "amad_kl": 16.0, "amad_mse": 4.0}
BOTH = SHARED.join(("steps", "flops"))  # budgets
TRUTH = Truth(seeds=2, students=(2,), effects=EFFECTS, failed={"one_to_one": 1}, missing={"amad_mse": 1})


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    folder = tmp_path_factory.mktemp("truth")
    return write_truth(folder, TRUTH), folder / "results"


@pytest.fixture(scope="module")
def collected(results: tuple[Plan, Path]) -> Collected:
    return collect(*results)


def students(collected: Collected) -> pd.DataFrame:
    return collected.runs.loc[collected.runs["kind"] == "student"]


def test_each_run_has_the_score_that_was_asked_for(collected: Collected) -> None:
    """But for which examples were drawn."""
    runs = {run.id: run for run in collected.plan.runs}
    primary = {"vqa": "vqa_accuracy", "captioning": "CIDEr", "translation": "BLEU"}
    off = []
    for run_id, run in runs.items():
        metric = primary[run.config.task]
        if collected.book.having([run_id], metric):
            score = float(collected.book.matrix([run_id], metric).scores_S()[0])
            off.append(score / TRUTH.points(run) - 1)
    assert len(off) == len(runs) - 2
    assert abs(np.mean(off)) < 0.03
    assert np.max(np.abs(off)) < 0.25


@pytest.mark.parametrize("task", PER_IMAGE)
def test_texts_are_those_of_the_scenes(task: str, tmp_path: Path) -> None:
    options, record = (
        {"train_images": 1, "validation_images": 1, "test_images": 5, "seed": 11},
        DATASETS["scenes"],
    )
    names = dict(record.photos(options))
    for known in PER_IMAGE:
        names |= record.files(known, options)
    files = {role: tmp_path / name for role, name in names.items()}
    scenes.write(files, options)
    examples = scenes.read(files, task, options)["test"].examples
    texts = texts_of(task, 11, len(examples))
    assert len(texts) == 5 * PER_IMAGE[task]
    for text, example in zip(texts, examples, strict=True):
        assert (text.example_id, text.cluster_id) == (example.example_id, example.cluster_id)
        assert text.references == example.references
        assert dict(text.groups) == example.groups


def test_conditions_and_budgets_have_their_gains() -> None:
    truth = replace(TRUTH, conditions=("none", "vl"), at_flops={"amad_kl": -3.0}, seed_sd=0, run_sd=0)
    truth = replace(truth, block_sd=0, per_doubling={"amad_kl": 0.5})
    plan = possible_plan(Config.model_validate(truth.config()))
    above = {
        (run.config.loss.label, run.config.teacher_pretraining, run.config.pretraining, run.budget): (
            truth.per_cent(run)
        )
        for run in plan.runs
        if run.kind == "student" and run.config.task == "vqa"
    }
    assert above["ce", None, "none", BOTH] == 0
    assert above["ce", None, "vl", BOTH] == 18
    assert above["amad_kl", "none", "none", "steps"] == 16 + 2 * 0.5
    assert above["amad_kl", "vl", "none", "flops"] == 16 + 2 * 0.5 + 2 - 3
    assert above["one_to_one", "vl", "vl", "flops"] == 4 + 2 + 18


def test_failed_runs_and_missing_seeds(collected: Collected) -> None:
    runs = collected.runs.set_index("loss")["status"]
    assert (runs["one_to_one"] == "diverged").sum() == 1
    assert (runs["amad_mse"] == "not_run").sum() == 1
    assert (runs[["ce", "amad_kl"]] == "done").all()


def test_steps_hold_alignments_of_the_methods_that_align(
    results: tuple[Plan, Path], collected: Collected
) -> None:
    done = students(collected)
    by_loss = done[done["status"] == "done"].drop_duplicates("loss").set_index("loss")
    for label, aligned in (("amad_kl", True), ("one_to_one", False), ("ce", False)):
        steps = read_training(results[1] / "runs" / by_loss.loc[label, "run_id"] / "steps.jsonl")
        assert [bool(step.alignment) for step in steps] == [aligned] * 5
    assert set(done.loc[done["status"] == "done", "run_id"]) <= set(collected.learning_curves["run_id"])


def test_the_tables_across_blocks_find_the_effect_and_the_null(collected: Collected) -> None:
    table = blocks_table(collected)
    rows = table[table["over"] == "all"].set_index(["loss_a", "loss_b"])
    assert (rows["heads"] == "unequal").all()
    assert (rows[["n_blocks", "n_averaged"]].to_numpy() == [5, 0]).all()
    assert set(rows["unit"]) == {"% of ce"}
    effect, null = rows.loc[("amad_kl", "one_to_one")], rows.loc[("amad_mse", "one_to_one")]
    assert effect["statement"] == "better"
    assert effect["ci_low"] <= 12 <= effect["ci_high"]
    assert (effect["n_failed_a"], effect["n_failed_b"], effect["n_seeds_min"]) == (0, 1, 1)
    assert null["statement"] == "inconclusive"
    assert null["ci_low"] <= 0 <= null["ci_high"]
    assert rows.loc[("amad_kl", "amad_mse"), "statement"] == "better"
    assert not rows["registered"].any()


def test_a_family_or_task_lacks_blocks(collected: Collected) -> None:
    table = blocks_table(collected)
    few = table[table["over"] != "all"]
    assert list(dict.fromkeys(few["over"])) == ["vlt5", "blip", "vqa", "captioning", "translation"]
    assert set(few["statement"]) == {"not testable"}
    assert few["p_value"].isna().all()
    reasons = few.groupby("over")["reason"].first()
    assert reasons["vlt5"] == "3 of 5 blocks"
    assert reasons["translation"] == "1 of 5 blocks"
    units = few.groupby("over")["unit"].first()
    assert (units["vqa"], units["vlt5"]) == ("points", "% of ce")


def test_a_row_for_each_block(collected: Collected) -> None:
    table = block_differences_table(collected)
    own = table[(table["loss_a"] == "amad_kl") & (table["loss_b"] == "ce")]
    assert own["block"].tolist() == own["counted_as"].tolist()
    assert own["gap"].tolist() == [4.0] * 5
    matrix = collected.book.matrix
    runs = students(collected).set_index(["family", "task", "loss"]).sort_index()
    a, b = (runs.loc[("vlt5", "vqa", label), "run_id"].tolist() for label in ("amad_kl", "ce"))
    scores = [matrix(ids, "vqa_accuracy").scores_S().mean() for ids in (a, b)]
    row = own[(own["family"] == "vlt5") & (own["task"] == "vqa")].iloc[0]
    assert row["difference"] == pytest.approx(100 * (scores[0] - scores[1]) / scores[1])
    assert row["ce_score"] == pytest.approx(scores[1])


def test_blocks_of_one_teacher_and_one_draw_of_scenes_are_one(tmp_path: Path) -> None:
    truth = Truth(seeds=2, students=(2, 4), effects={"ce": 0.0, "amad_kl": 16.0}, missing={}, shared=True)
    plan = write_truth(tmp_path, truth)
    table = blocks_table(collect(plan, tmp_path / "results"))
    row = table[table["over"] == "all"].iloc[0]
    assert (row["n_blocks"], row["n_averaged"], row["statement"]) == (1, 10, "not testable")
    assert row["reason"].startswith("1 of 5 blocks; blocks that share a teacher")


def test_a_size_is_reached_by_more_head_counts() -> None:
    assert len(of_size(1, TRUTH).students) == 1
    assert len(of_size(60, TRUTH).students) == 2
    with pytest.raises(ValueError, match="more than these seeds give"):
        of_size(10_000, TRUTH)
