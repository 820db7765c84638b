"""The table `power` of results whose noise is known, and what a person reads of it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from amad_bench.analysis.collect import collect
from amad_bench.analysis.collected import Collected
from amad_bench.analysis.power.table import POWER_COLUMNS, power_table
from amad_bench.analysis.power.text import power_text
from amad_bench.analysis.tables.comparisons import comparisons_table
from amad_bench.cli import main
from amad_bench.runtime.errors import UserError
from tests.analysis.conftest import make_plan, write_run

TASKS = tuple((family, task) for family in ("vlt5", "blip") for task in ("vqa", "captioning"))


def collected(folder: Any, **of_plan: Any) -> Collected:
    plan = make_plan(**of_plan)
    for run in plan.runs:
        write_run(folder, run)
    return collect(plan, folder)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Collected:
    return collected(tmp_path_factory.mktemp("sweep"), tasks=TASKS, losses=("ce", "amad_kl"), seeds=3)


@pytest.fixture(scope="module")
def table(sweep: Collected) -> pd.DataFrame:
    return power_table(sweep)


@pytest.mark.trap("stat-61")
def test_of_two_losses_it_is_what_their_comparison_shows(sweep: Collected, table: pd.DataFrame) -> None:
    compared = comparisons_table(sweep).set_index(["family", "task"])["shown_80"]
    power = table.query("test == 'pair' and n_seeds == 3").set_index(["family", "task"])["shown_80"]
    assert power.to_dict() == pytest.approx(compared.to_dict(), rel=1e-9)


def test_rows(table: pd.DataFrame) -> None:
    assert list(table.columns) == POWER_COLUMNS
    settings, across = table[table["test"] != "blocks"], table[table["test"] == "blocks"]
    assert len(settings) == 4 * 2 * 5
    assert settings["n_blocks"].isna().all()
    assert across[["n_blocks", "n_seeds"]].drop_duplicates().to_numpy().tolist() == [
        [blocks, seeds] for blocks in (5, 8, 12, 20) for seeds in (1, 2, 3, 5, 10, 20)
    ]
    assert set(across["unit"]) == {"% of ce"}  # accuracy and CIDEr are no common unit
    assert set(across["n_blocks_measured"]) == {4}
    assert across[["family", "task", "teacher_heads"]].isna().all(axis=None)
    assert across["shown_80"].notna().all()
    for _, rows in table.groupby(["test", "family", "task", "n_blocks"], dropna=False):
        shown = rows["shown_80"].dropna().to_numpy()
        assert (np.diff(shown) < 0).all()
        assert (shown >= rows["floor_80"].iloc[0]).all()


def test_blocks_of_one_metric_are_in_points(sweep: Collected) -> None:
    vqa = sweep.runs[sweep.runs["task"] == "vqa"]
    across = power_table(replace(sweep, runs=vqa)).query("test == 'blocks'")
    assert set(across["unit"]) == {"points"}
    assert set(across["metric"]) == {"vqa_accuracy"}


@pytest.mark.trap("stat-60")
def test_a_loss_under_two_names_counts_once(sweep: Collected, table: pd.DataFrame) -> None:
    students = sweep.runs[sweep.runs["loss"] == "amad_kl"]
    twins = students.assign(run_id=students["run_id"] + "-twin", loss="again")
    of_twins = sweep.scores[sweep.scores["run_id"].isin(students["run_id"])]
    of_twins = of_twins.assign(run_id=of_twins["run_id"] + "-twin")
    doubled = replace(sweep, runs=pd.concat([sweep.runs, twins]), scores=pd.concat([sweep.scores, of_twins]))
    columns = ["n_losses", "shown_80", "floor_80"]
    pairs, again = (found.query("test == 'pair'")[columns] for found in (table, power_table(doubled)))
    pd.testing.assert_frame_equal(pairs, again)


def test_a_loss_with_too_few_seeds_is_left_out(sweep: Collected, table: pd.DataFrame) -> None:
    gone = sweep.runs.query("loss == 'ce' and task == 'vqa' and replicate > 0")["run_id"]
    fewer = power_table(replace(sweep, scores=sweep.scores[~sweep.scores["run_id"].isin(gone)]))
    left = fewer[fewer["test"] == "pair"]
    assert set(left["task"]) == {"captioning"}
    expected = table[(table["test"] == "pair") & (table["task"] == "captioning")]["shown_80"]
    assert left["shown_80"].tolist() == expected.tolist()


def test_a_loss_with_few_seeds_does_not_take_the_seeds_of_the_others(tmp_path: Any) -> None:
    """Of `logit_kd` two of five runs are there: (3 - 1)(2 - 1) is less than (2 - 1)(5 - 1)."""
    of_plan: dict[str, Any] = {"tasks": TASKS[:1], "seeds": 5}
    whole = collected(tmp_path / "whole", losses=("ce", "amad_kl", "logit_kd"), **of_plan)
    gone = whole.runs.query("loss == 'logit_kd' and replicate > 1")["run_id"]
    without = whole.runs.query("loss == 'logit_kd'")["run_id"]
    found = power_table(replace(whole, scores=whole.scores[~whole.scores["run_id"].isin(gone)]))
    expected = power_table(replace(whole, scores=whole.scores[~whole.scores["run_id"].isin(without)]))
    assert set(found["n_seeds_measured"]) == {5}
    pd.testing.assert_frame_equal(found, expected)


def test_what_a_person_reads(table: pd.DataFrame) -> None:
    first, of_vqa, *_, across = power_text(table).split("\n\n")
    assert "80 % power" in first
    lines = of_vqa.split("\n")
    assert lines[0] == "vlt5 vqa scenes 8 -> 2 heads: vqa_accuracy in points"
    assert lines[1].startswith("measured on 2 losses, 3 seeds; standard deviations: ")
    row = table.query("test == 'pair' and task == 'vqa' and family == 'vlt5'")
    numbers = [f"{value:.1f}" if value >= 10 else f"{value:.2f}" for value in row["shown_80"]]
    assert lines[3].split() == ["pair", *numbers, f"{row['floor_80'].iloc[0]:.2f}"]
    assert lines[4].split()[:4] == ["setting", "-", "-", lines[4].split()[3]]  # one and two df are too few
    assert across.startswith("across blocks: vqa_accuracy | CIDEr in % of ce\nmeasured on 4 blocks;")
    assert max(map(len, power_text(table).split("\n"))) < 140


def test_one_seed_says_nothing(tmp_path: Any) -> None:
    empty = power_table(collected(tmp_path, tasks=TASKS[:1], losses=("ce", "amad_kl"), seeds=1))
    assert empty.empty
    assert list(empty.columns) == POWER_COLUMNS
    with pytest.raises(UserError, match="no setting has two losses with two seeds in common"):
        power_text(empty)


def test_the_command_needs_tables(
    tmp_path: Any, repository: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["power", "--config", str(repository / "configs/smoke.yaml")]) == 2
    assert "nothing is collected yet" in capsys.readouterr().err
