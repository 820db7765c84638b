"""Extra scores: joined to the runs of the plan; what is missing is said. (Own scores: test_collect.)"""

import hashlib
import json

import pandas as pd
import pytest

from amad_bench.analysis.collect import collect
from amad_bench.analysis.score_files import refuse_mixed_signatures
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.run_folder.scores import SCORE_COLUMNS

EXTRA = ("METEOR", "SPICE")


@pytest.fixture
def plan(fake, tmp_path):
    """All runs but the last are done; the last one failed after it had been scored."""
    made = fake.plan(tasks=(("vlt5", "captioning"),), losses=("ce",), extra_metrics=EXTRA)
    for run in made.runs:
        fake.write(tmp_path, run)
    fake.write(tmp_path, made.runs[-1], status="diverged")
    return made


def write_extra(results, metrics, unavailable=()):
    """metrics: metric -> ids of the runs with rows; unavailable: (metric, run id, reason)."""
    row = {"split": "test", "cluster_id": "i000", "value": 0.25, "statistics": [1.0, 2.0]}
    rows = [
        {"run_id": run, "example_id": f"e{n:04d}", "metric": metric} | row
        for metric, run_ids in metrics.items()
        for run in run_ids
        for n in range(3)
    ]
    pd.DataFrame(rows, columns=SCORE_COLUMNS).to_parquet(results / "extra_scores.parquet", index=False)
    sources: dict = {
        metric: {run: source(results, run) for run in run_ids} for metric, run_ids in metrics.items()
    }
    reasons: dict = {}
    for metric, run, reason in unavailable:
        reasons.setdefault(metric, {})[run] = reason
        sources.setdefault(metric, {})[run] = source(results, run)
    facts = {"unavailable": reasons, "signatures": {}, "sources": sources}
    (results / "extra_scores.json").write_text(json.dumps(facts))


def source(results, run):
    path = results / "runs" / run / "predictions.jsonl"
    return hashlib.sha256(path.read_bytes() if path.exists() else b"").hexdigest()


def missing(tables):
    """(task, status, reason) of the failures that are of no run."""
    rows = tables.failures.query("run_id == ''")
    return list(zip(rows["task"], rows["status"], rows["reason"], strict=True))


def lack(metric, runs, of=2):
    return (
        "captioning",
        "not_run",
        f"{metric}: {runs} of {of} captioning runs lack it; run `amad-bench score`",
    )


def test_extra_scores_of_finished_planned_runs_are_scores(plan, tmp_path):
    write_extra(tmp_path, {"METEOR": [plan.runs[1].id, "of-another-plan", plan.runs[-1].id]})
    found = collect(plan, tmp_path).scores.query("metric == 'METEOR'")
    assert found["run_id"].unique().tolist() == [plan.runs[1].id]
    assert found["example_id"].tolist() == ["e0000", "e0001", "e0002"]
    assert found["statistics"].tolist() == [[1.0, 2.0]] * 3


def test_metrics_that_only_another_config_asked_for_stay_out(fake, plan, tmp_path):
    finished = [run.id for run in plan.runs[:2]]
    write_extra(
        tmp_path, {"METEOR": finished, "SPICE": finished[:1]}, [("SPICE", finished[1], "no model files")]
    )
    of_meteor = fake.plan(tasks=(("vlt5", "captioning"),), losses=("ce",), extra_metrics=("METEOR",))
    tables = collect(of_meteor, tmp_path)
    assert set(tables.scores["metric"]) & set(EXTRA) == {"METEOR"}
    assert missing(tables) == []
    plain = fake.plan(tasks=(("vlt5", "captioning"),), losses=("ce",))
    tables = collect(plain, tmp_path)
    assert not set(tables.scores["metric"]) & set(EXTRA)
    assert missing(tables) == []


def test_scores_of_older_predictions_are_left_out(plan, tmp_path):
    finished = [run.id for run in plan.runs[:2]]
    write_extra(tmp_path, {"METEOR": finished}, [("SPICE", run, "no model files") for run in finished])
    path = tmp_path / "runs" / finished[0] / "predictions.jsonl"
    path.write_text(path.read_text().replace('"prediction": "a"', '"prediction": "b"'))
    tables = collect(plan, tmp_path)
    assert tables.scores.query("metric == 'METEOR'")["run_id"].unique().tolist() == finished[1:]
    assert missing(tables) == [  # an older reason may hold no more, either
        lack("METEOR", 1),
        ("captioning", "metric_unavailable", f"SPICE: no model files (run {finished[1]})"),
        lack("SPICE", 1),
    ]


def test_one_reason_hides_no_other(fake, tmp_path):
    """Of four runs one kills METEOR, one was never scored, one lost its rows; and there are translations."""
    tasks = (("vlt5", "captioning"), ("vlt5", "translation"), ("vlt5", "vqa"))
    plan = fake.plan(tasks=tasks, losses=("ce", "amad_kl"), seeds=1, extra_metrics=EXTRA)
    for run in plan.runs:
        fake.write(tmp_path, run)
    fake.write(tmp_path, fake.plan(tasks=(("blip", "captioning"),)).runs[0])
    teacher, ce, amad = (run.id for run in plan.runs if "captioning" in run.id)
    write_extra(tmp_path, {"METEOR": [teacher], "SPICE": [teacher, ce, amad]}, [("METEOR", amad, "it died")])
    tables = collect(plan, tmp_path)
    no_translations = [row for row in missing(tables) if row[0] == "translation"]
    assert missing(tables)[:2] == [
        ("captioning", "metric_unavailable", f"METEOR: it died (run {amad})"),
        lack("METEOR", 1, of=3),
    ]
    assert missing(tables)[2:] == no_translations
    ((_, status, reason),) = no_translations
    assert status == "metric_unavailable"
    assert reason.startswith("METEOR: not computed for translations: ")
    assert set(tables.runs["status"]) == {"done"}

    table = tmp_path / "extra_scores.parquet"
    rows = pd.read_parquet(table)
    rows[rows["run_id"] != ce].to_parquet(table, index=False)
    assert lack("SPICE", 1, of=3) in missing(collect(plan, tmp_path))


def test_translations_are_named_only_where_meteor_is_asked_for(fake, tmp_path):
    for extra, expected in ((("SPICE",), 0), (("METEOR",), 1)):
        plan = fake.plan(tasks=(("vlt5", "translation"),), losses=("ce",), extra_metrics=extra)
        assert len(missing(collect(plan, tmp_path))) == expected


def test_what_is_unavailable_is_a_failure_of_no_run(plan, tmp_path):
    finished = [run.id for run in plan.runs[:2]]
    write_extra(tmp_path, {"METEOR": finished}, [("SPICE", run, "no model files") for run in finished])
    tables = collect(plan, tmp_path)
    assert tables.runs["status"].tolist() == ["done", "done", "diverged"]
    reason = f"SPICE: no model files (runs {', '.join(finished)})"
    assert missing(tables) == [("captioning", "metric_unavailable", reason)]


def test_metrics_that_were_never_computed_are_named(plan, tmp_path):
    assert missing(collect(plan, tmp_path)) == [lack("METEOR", 2), lack("SPICE", 2)]


def test_nothing_is_missing_where_no_run_has_captions(fake, tmp_path):
    plan = fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce",), extra_metrics=EXTRA)
    for run in plan.runs:
        fake.write(tmp_path, run)
    assert collect(plan, tmp_path).failures.empty


def test_one_metric_computed_in_two_ways_is_refused():
    refuse_mixed_signatures({"a": {"BLEU": "v1", "TER": "t"}, "b": {}, "c": {"BLEU": "v1", "chrF2": "v2"}})
    with pytest.raises(
        UserError, match=r"BLEU of run c is v2, that of run a is v1; .*score --run ID.*delete"
    ) as e:
        refuse_mixed_signatures({"a": {"BLEU": "v1"}, "b": {}, "c": {"BLEU": "v2"}})
    assert len(str(e.value).splitlines()) == 1


def test_collecting_runs_of_two_signatures_is_refused(fake, tmp_path):
    plan = fake.plan(tasks=(("vlt5", "translation"),), losses=("ce",))
    for number, run in enumerate(plan.runs):
        path = fake.write(tmp_path, run) / "status.json"
        signatures = {"BLEU": f"tok:13a|version:2.{number == 2:d}"}
        path.write_text(json.dumps(json.loads(path.read_text()) | {"signatures": signatures}))
    with pytest.raises(
        UserError, match=rf"BLEU of run {plan.runs[2].id} is .* that of run {plan.runs[0].id} is"
    ):
        collect(plan, tmp_path)


def test_broken_extra_scores_name_the_file(plan, tmp_path):
    write_extra(tmp_path, {"METEOR": [plan.runs[0].id]})
    path = tmp_path / "extra_scores.parquet"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match=r"extra_scores\.parquet"):
        collect(plan, tmp_path)
