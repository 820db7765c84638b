"""The table `alignments`: numbers of the step logs, bounds, and typical runs."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from amad_bench.analysis.alignments import COLUMNS, alignments_table, sharpest, snapshots, typical_runs
from amad_bench.analysis.collect import collect
from amad_bench.runtime.errors import UserError

RUNS = pd.DataFrame(
    {
        "run_id": ["a", "b", "c", "d"],
        "family": ["vlt5", "vlt5", "vlt5", "blip"],
        "loss_name": ["amad", "amad", "amad", "sinkhorn"],
        "loss_options": ['{"temperature": 0.5}', '{"temperature": 1.0}', "{}", "{}"],
    }
)


def log(tmp_path, run_id, top, steps=3):
    rows = [[top, 1 - top], [0.5, 0.5], [1 - top, top]]
    one = {"entropy": 0.6, "largest_weight": top, "changed_share": None, "rows": rows}
    line = {"learning_rate": 0.1, "loss": 1.0, "gradient_norm": 1.0}
    lines = [line | {"step": step, "alignment": {"encoder.self/1": one}} for step in range(steps)]
    lines += [line | {"step": steps}, {"step": steps, "validation_loss": 1.0}]
    path = tmp_path / f"{run_id}.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


@pytest.fixture
def table(tmp_path):
    tops = {"a": 0.7, "b": 0.9, "c": 0.8, "d": 1.0}
    return alignments_table(RUNS, {run: log(tmp_path, run, top) for run, top in tops.items()})


def test_numbers_of_each_step_and_layer(table):
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == 4 * 3
    first = table.iloc[0]
    assert first["sharpness"] == pytest.approx((0.7 + 0.5 + 0.7) / 3)
    assert (first["site"], first["layer"], first["teacher_heads"], first["heads"]) == (
        "encoder.self",
        1,
        3,
        2,
    )
    assert first["uniform"] == 0.5
    bounds = table.drop_duplicates("run_id")["bound"]
    assert bounds.iloc[0] == pytest.approx(math.e**2 / (math.e**2 + 1))
    assert bounds.iloc[1:3].tolist() == pytest.approx([math.e / (math.e + 1)] * 2)
    assert math.isnan(bounds.iloc[3])  # no AMAD


def test_the_bound_is_that_of_the_methods_page_and_holds_for_tiny_temperatures():
    assert sharpest(8, 1.0) == pytest.approx(0.280, abs=5e-4)
    assert sharpest(1, 1.0) == 1
    assert sharpest(8, 1e-9) == 1
    assert sharpest(8, 1e9) == pytest.approx(1 / 8)
    similarity_G = np.eye(8)[0]  # one map alike, the others apart
    weights_G = np.exp(similarity_G / 0.1) / np.exp(similarity_G / 0.1).sum()
    assert weights_G.max() == pytest.approx(sharpest(8, 0.1))


def test_the_median_run_of_each_family_has_its_weights(table):
    assert typical_runs(RUNS, table) == ["c", "d"]
    assert set(table.loc[table["weights"] != "", "run_id"]) == {"c", "d"}
    weights = json.loads(table.loc[table["run_id"] == "c", "weights"].iloc[0])
    assert weights == [[0.8, pytest.approx(0.2)], [0.5, 0.5], [pytest.approx(0.2), 0.8]]


@pytest.mark.parametrize(("count", "expected"), [(1, [0]), (3, [0, 1, 2]), (11, [0, 2, 5, 8, 10])])
def test_steps_that_are_shown(count, expected):
    assert snapshots(count) == expected


def test_no_alignments_and_damaged_logs(tmp_path):
    assert alignments_table(RUNS, {}).empty
    assert list(alignments_table(RUNS, {}).columns) == list(COLUMNS)
    (tmp_path / "broken.jsonl").write_text('{"learning_rate": ')
    with pytest.raises(UserError, match=r"broken\.jsonl: line 1"):
        alignments_table(RUNS, {"a": tmp_path / "broken.jsonl"})


def test_collect_reads_the_logs_of_students(fake, tmp_path):
    plan = fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce", "amad_kl"), seeds=1)
    for run in plan.runs:
        folder = fake.write(tmp_path, run)
        if run.config.loss.name == "amad":
            (folder / "steps.jsonl").write_text(log(tmp_path, "x", 0.6).read_text())
    table = collect(plan, tmp_path).alignments
    assert len(table) == 3
    assert table["run_id"].iloc[0].endswith("amad_kl-none-s00")
    assert (table["weights"] != "").all()
