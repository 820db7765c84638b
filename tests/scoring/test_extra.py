"""A stand-in for the metric's own program says how often and with what it was called."""

import json
from pathlib import Path

import pandas as pd
import pytest

from amad_bench.runtime.errors import UserError
from amad_bench.scoring import captions
from amad_bench.scoring.extra import read_extra, score_extra, write_extra
from amad_bench.scoring.java import JavaFailed
from amad_bench.scoring.score_run import SCORE_COLUMNS

SPLITS = ("test", "test_blind", "test_majority", "test_2017_flickr")


@pytest.fixture
def runs(tmp_path):
    """runs(a="a dog", ...) -> folders of captioning runs that predict that for all of two examples."""

    def make(task: str = "captioning", **predictions: str) -> dict[str, Path]:
        folders = {run_id: tmp_path / "runs" / run_id for run_id in predictions}
        for run_id, text in predictions.items():
            folders[run_id].mkdir(parents=True, exist_ok=True)
            (folders[run_id] / "run.json").write_text(json.dumps({"config": {"task": task}}))
            rows = [
                {
                    "split": split,
                    "example_id": example,
                    "cluster_id": f"c{example}",
                    "prediction": text,
                    "references": ["a dog", "two\u2028dogs"],
                    "groups": {},
                }
                for split in SPLITS
                for example in ("2", "1")
            ]
            lines = [json.dumps(row, ensure_ascii=False) for row in rows]
            (folders[run_id] / "predictions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return folders

    return make


@pytest.fixture
def calls(monkeypatch):
    """Hypotheses of every job, by metric. A caption's METEOR is its length, its SPICE half of that."""
    made: dict[str, list[list[str]]] = {"METEOR": [], "SPICE": []}

    def meteor_scores(corpora):
        made["METEOR"].append([hypothesis for corpus in corpora for _, hypothesis in corpus])
        for corpus in corpora:
            if any(hypothesis == "java dies" for _, hypothesis in corpus):
                raise JavaFailed("it died")
            each = [float(len(hypothesis)) for _, hypothesis in corpus]
            yield sum(each), each, [[score, *[0.0] * 22] for score in each]

    def spice_scores(pairs):
        made["SPICE"].append([hypothesis for _, hypothesis in pairs])
        return [len(hypothesis) / 2 for _, hypothesis in pairs]

    monkeypatch.setattr(captions, "meteor_scores", meteor_scores)
    monkeypatch.setattr(captions, "spice_scores", spice_scores)
    return made


def test_rows_of_all_test_splits_but_the_controls(runs, calls):
    scores = score_extra(["METEOR", "SPICE"], runs(b="a dog", a="cat"))
    frame = scores.frame
    assert list(frame.columns) == SCORE_COLUMNS
    assert scores.unavailable == {}
    columns = zip(
        frame["metric"], frame["run_id"], frame["split"], frame["example_id"], frame["value"], strict=True
    )
    assert list(columns) == [
        (metric, run, split, example, value)
        for metric, by_run in (("METEOR", {"b": 5.0, "a": 3.0}), ("SPICE", {"b": 2.5, "a": 1.5}))
        for run, value in by_run.items()
        for split in ("test", "test_2017_flickr")
        for example in ("2", "1")
    ]
    assert frame["cluster_id"].tolist() == ["c2", "c1"] * 8
    assert frame["statistics"].tolist() == [
        *[[5.0, *[0.0] * 22]] * 4,
        *[[3.0, *[0.0] * 22]] * 4,
        *[None] * 8,
    ]
    assert calls == {"METEOR": [["a dog"] * 4 + ["cat"] * 4], "SPICE": [["a dog"] * 4 + ["cat"] * 4]}


def test_only_runs_with_new_predictions_are_scored_again(runs, calls, tmp_path):
    metrics = ["METEOR", "SPICE"]
    write_extra(tmp_path, score_extra(metrics, runs(a="one", b="two", gone="three")))
    again = score_extra(metrics, runs(a="one", b="changed", c="new"), read_extra(tmp_path))
    assert calls["METEOR"][1:] == [["changed"] * 4 + ["new"] * 4]
    assert calls["SPICE"][1:] == [["changed"] * 4 + ["new"] * 4]
    at_once = score_extra(metrics, runs(a="one", b="changed", c="new"))
    pd.testing.assert_frame_equal(again.frame, at_once.frame)
    assert (again.unavailable, again.signatures, again.sources) == ({}, at_once.signatures, at_once.sources)


def test_nothing_starts_when_nothing_changed(runs, calls, tmp_path):
    folders = runs(a="one", b="two")
    write_extra(tmp_path, score_extra(["METEOR"], folders))
    before = {path.name: path.read_bytes() for path in tmp_path.glob("extra_scores.*")}
    write_extra(tmp_path, score_extra(["METEOR"], folders, read_extra(tmp_path)))
    assert len(calls["METEOR"]) == 1
    assert len(before) == 2
    assert before == {path.name: path.read_bytes() for path in tmp_path.glob("extra_scores.*")}


def test_another_version_of_the_program_scores_all_again(runs, calls, monkeypatch):
    previous = score_extra(["METEOR"], runs(a="one"))
    assert previous.signatures == {"METEOR": "meteor-1.5|lang:en|norm:yes|tok:ptb|pycocoevalcap:1.2"}
    monkeypatch.setattr("amad_bench.scoring.extra.version", lambda package: "1.3")
    score_extra(["METEOR"], runs(a="one"), previous)
    assert len(calls["METEOR"]) == 2


def test_a_java_that_dies_loses_neither_other_metrics_nor_scored_runs(runs, calls):
    scores = score_extra(["METEOR", "SPICE"], runs(a="one", b="java dies", c="three"))
    assert scores.unavailable == {"METEOR": "it died"}
    by_metric = {str(metric): set(part["run_id"]) for metric, part in scores.frame.groupby("metric")}
    assert by_metric == {"METEOR": {"a"}, "SPICE": {"a", "b", "c"}}
    assert list(scores.sources["METEOR"]) == ["a"]
    healed = score_extra(["METEOR"], runs(a="one", b="java lives", c="three"), scores)
    assert calls["METEOR"][1] == ["java lives"] * 4 + ["three"] * 4
    assert healed.unavailable == {}
    assert set(healed.frame["run_id"]) == {"a", "b", "c"}


def test_without_java_every_metric_has_a_reason(runs, monkeypatch, tmp_path):
    monkeypatch.setattr("amad_bench.scoring.java.find_java", lambda: None)
    scores = score_extra(["METEOR", "SPICE"], runs(a="one"))
    assert set(scores.unavailable) == {"METEOR", "SPICE"}
    assert all("no java on PATH" in reason for reason in scores.unavailable.values())
    assert len(scores.frame) == 0
    write_extra(tmp_path, scores)
    read = read_extra(tmp_path)
    assert read is not None
    assert list(read.frame.columns) == SCORE_COLUMNS
    assert read.sources == {"METEOR": {}, "SPICE": {}}


def test_runs_of_other_tasks(runs, calls):
    folders = runs(a="one") | runs("vqa", q="yes") | runs("translation", t="ein Hund")
    scores = score_extra(["METEOR", "SPICE"], folders)
    assert set(scores.frame["run_id"]) == {"a"}
    assert list(scores.unavailable) == ["METEOR"]
    assert "paraphrase tables for German and French" in scores.unavailable["METEOR"]
    assert score_extra(["METEOR"], runs("vqa", q="yes")).unavailable == {}


def test_mistakes_of_the_user(runs, tmp_path):
    with pytest.raises(UserError, match="extra metric 'BLEU' is unknown; expected some of METEOR, SPICE"):
        score_extra(["BLEU"], {})
    folders = runs(a="one")
    path = folders["a"] / "predictions.jsonl"
    path.write_text('{"split": "test"\n')
    with pytest.raises(UserError, match=r"a/predictions.jsonl: a JSON record per line was expected"):
        score_extra(["METEOR"], folders)
    path.unlink()
    with pytest.raises(UserError, match=r"a/predictions.jsonl: no such file"):
        score_extra(["METEOR"], folders)


def test_reading_back(runs, calls, tmp_path):
    assert read_extra(tmp_path) is None
    scores = score_extra(["METEOR", "SPICE"], runs(a="one"))
    write_extra(tmp_path, scores)
    read = read_extra(tmp_path)
    assert read is not None
    pd.testing.assert_frame_equal(read.frame, scores.frame)
    (tmp_path / "extra_scores.json").unlink()
    assert read_extra(tmp_path) is None  # writing it was interrupted
    (tmp_path / "extra_scores.json").write_text("{}")
    with pytest.raises(UserError, match=r"extra_scores.parquet: not as `amad-bench score` writes it"):
        read_extra(tmp_path)
