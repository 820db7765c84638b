"""Extra scores: joined to the runs of the plan; what is missing is said. (Own scores: test_collect.)"""

import hashlib
import json

import pandas as pd
import pytest

from amad_bench.analysis.collect import SCORE_COLUMNS, collect
from amad_bench.runtime.errors import UserError

EXTRA = ("METEOR", "SPICE")


@pytest.fixture
def plan(fake, tmp_path):
    """All runs but the last are done; the last one failed after it had been scored."""
    made = fake.plan(cells=(("vlt5", "captioning"),), losses=("ce",), extra_metrics=EXTRA)
    for run in made.runs:
        fake.write(tmp_path, run)
    fake.write(tmp_path, made.runs[-1], status="diverged")
    return made


def write_extra(results, run_ids, metric="METEOR", **unavailable):
    row = {"split": "test", "metric": metric, "cluster_id": "i000", "value": 0.25, "statistics": [1.0, 2.0]}
    rows = [{"run_id": run, "example_id": f"e{n:04d}"} | row for run in run_ids for n in range(3)]
    pd.DataFrame(rows)[SCORE_COLUMNS].to_parquet(results / "extra_scores.parquet", index=False)
    paths = {run: results / "runs" / run / "predictions.jsonl" for run in run_ids}
    sources = {
        run: hashlib.sha256(path.read_bytes() if path.exists() else b"").hexdigest()
        for run, path in paths.items()
    }
    facts = {"unavailable": unavailable, "signatures": {}, "sources": {metric: sources}}
    (results / "extra_scores.json").write_text(json.dumps(facts))


def test_extra_scores_of_finished_planned_runs_are_scores(plan, tmp_path):
    write_extra(tmp_path, [plan.runs[1].id, "of-another-plan", plan.runs[-1].id])
    found = collect(plan, tmp_path).scores.query("metric == 'METEOR'")
    assert found["run_id"].unique().tolist() == [plan.runs[1].id]
    assert found["example_id"].tolist() == ["e0000", "e0001", "e0002"]
    assert found["statistics"].tolist() == [[1.0, 2.0]] * 3


def test_scores_of_older_predictions_are_left_out(plan, tmp_path):
    finished = [run.id for run in plan.runs[:2]]
    write_extra(tmp_path, finished, SPICE="no model files")
    path = tmp_path / "runs" / finished[0] / "predictions.jsonl"
    path.write_text(path.read_text().replace('"prediction": "a"', '"prediction": "b"'))
    tables = collect(plan, tmp_path)
    assert tables.scores.query("metric == 'METEOR'")["run_id"].unique().tolist() == finished[1:]
    reasons = tables.failures.query("run_id == ''")["reason"].tolist()
    assert reasons == [
        "METEOR: asked for, 1 of 2 runs lack it; run `amad-bench score`",
        "SPICE: no model files",
    ]


def test_what_is_unavailable_is_a_failure_of_no_run(plan, tmp_path):
    write_extra(tmp_path, [run.id for run in plan.runs[:2]], SPICE="no model files")
    tables = collect(plan, tmp_path)
    assert tables.runs["status"].tolist() == ["done", "done", "diverged"]
    rows = tables.failures[["run_id", "status", "reason"]].to_numpy().tolist()
    assert rows[1:] == [["", "metric_unavailable", "SPICE: no model files"]]


def test_metrics_that_were_never_computed_are_named(plan, tmp_path):
    rows = collect(plan, tmp_path).failures.to_dict("records")[1:]
    assert [(row["run_id"], row["status"]) for row in rows] == [("", "not_run")] * 2
    assert [row["reason"].split(":")[0] for row in rows] == list(EXTRA)


def test_what_nobody_asked_for_is_no_failure(fake, plan, tmp_path):
    write_extra(tmp_path, [plan.runs[0].id], SPICE="no model files")
    plain = fake.plan(cells=(("vlt5", "captioning"),), losses=("ce",))
    assert len(collect(plain, tmp_path).failures) == 1


def test_nothing_is_missing_where_no_run_has_captions(fake, tmp_path):
    plan = fake.plan(cells=(("vlt5", "vqa"),), losses=("ce",), extra_metrics=EXTRA)
    for run in plan.runs:
        fake.write(tmp_path, run)
    assert collect(plan, tmp_path).failures.empty


def test_broken_extra_scores_name_the_file(plan, tmp_path):
    write_extra(tmp_path, [plan.runs[0].id])
    path = tmp_path / "extra_scores.parquet"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match=r"extra_scores\.parquet"):
        collect(plan, tmp_path)
