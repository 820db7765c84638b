"""Outcomes of bad scores through `amad-bench compare`: one line, or what the page about statistics says."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from amad_bench.analysis.collected import Collected
from amad_bench.cli import main
from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import expand
from amad_bench.runtime.files import write_table
from amad_bench.runtime.results import COLLECTED, RESULTS, TableName
from tests.analysis.conftest import make_raw
from tests.analysis.tables.made import made, noisy

Compare = Callable[..., int]
VQA = (("vlt5", "vqa"),)


@pytest.fixture
def compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compare:
    """compare(change, seeds=3): the exit code of the command on scores that `change` has changed.

    change: of a frame of scores and the ids of AMAD's runs.
    """
    monkeypatch.chdir(tmp_path)

    def run(change: Callable[[pd.DataFrame, list[str]], pd.DataFrame], seeds: int = 3) -> int:
        Path("config.yaml").write_text(
            yaml.safe_dump(make_raw(tasks=VQA, losses=("ce", "amad_kl"), seeds=seeds))
        )
        plan = expand(load_config(Path("config.yaml")))
        collected = made(plan, noisy({"amad_kl": 0.7}))
        ids = [run.id for run in plan.runs if run.kind == "student" and run.config.loss.label == "amad_kl"]
        write(replace(collected, scores=change(collected.scores.reset_index(drop=True), ids)))
        return main(["compare", "--config", "config.yaml"])

    return run


def write(collected: Collected) -> None:
    for name in COLLECTED:
        write_table(getattr(collected, name), RESULTS.tables / name)
    RESULTS.plan.write_text(json.dumps({"hash": collected.plan.hash}))


def row_of(name: TableName) -> dict[str, object]:
    (row,) = pd.read_parquet(RESULTS.table(name)).to_dict("records")
    return row


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.trap("stat-35")
@pytest.mark.parametrize(
    ("column", "value", "line"),
    [
        ("value", np.nan, "has a score that is no number"),
        ("cluster_id", None, "has a score without a cluster"),
        ("example_id", "another", "its example_ids on the split test are not those of run"),
    ],
)
def test_broken_scores_end_in_one_line(compare: Compare, capsys, column, value, line) -> None:
    def change(scores: pd.DataFrame, ids: list[str]) -> pd.DataFrame:
        scores.loc[scores.index[scores["run_id"] == ids[1]][5], column] = value
        return scores

    assert compare(change) == 2
    found = one_line(capsys)
    assert line in found
    assert found.startswith("amad-bench: error: vqa_accuracy of run vlt5-vqa")
    assert not RESULTS.table(TableName.COMPARISONS).exists()


def test_fewer_examples_in_one_arm_end_in_one_line(compare: Compare, capsys) -> None:
    def change(scores: pd.DataFrame, ids: list[str]) -> pd.DataFrame:
        return scores[(scores["run_id"] != ids[0]) | (scores["example_id"] > "e009")]

    assert compare(change) == 2
    assert "delete the folder of the run that is wrong and run again" in one_line(capsys)


def test_a_seed_that_is_missing_in_one_arm(compare: Compare) -> None:
    assert compare(lambda scores, ids: scores[scores["run_id"] != ids[2]], seeds=5) == 0
    row = row_of(TableName.COMPARISONS)
    assert (row["n_seeds"], row["n_missing"], row["statement"]) == (4, 1, "better")


def test_one_seed(compare: Compare) -> None:
    assert compare(lambda scores, _: scores, seeds=1) == 0
    assert pd.read_parquet(RESULTS.table(TableName.COMPARISONS)).empty
    row = row_of(TableName.PAIRS_OF_RUNS)
    assert (row["scope"], row["statement"]) == ("this pair of runs", "better")


def test_one_example(compare: Compare) -> None:
    assert compare(lambda scores, _: scores[scores["example_id"] == "e000"]) == 0
    row = row_of(TableName.COMPARISONS)
    assert row["statement"] == "not testable"
    assert "10 are needed" in str(row["reason"])
    assert row["n_examples"] == 1
    assert pd.read_parquet(RESULTS.table(TableName.RESULTS))["ci_low"].isna().all()


def test_constant_scores(compare: Compare) -> None:
    assert compare(lambda scores, _: scores.assign(value=0.0)) == 0
    row = row_of(TableName.COMPARISONS)
    assert (row["statement"], row["p_value"], row["difference"]) == ("inconclusive", 1, 0)
    assert str(row["reason"]).startswith("the same scores in all replicates")
