"""A stand-in for the metric's own program says how often and with what it was called."""

import dataclasses
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from amad_bench.plan.catalogue import METRICS
from amad_bench.plan.extra_metrics import by_reason
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.results import ResultsFolder
from amad_bench.runtime.run_folder.scores import SCORE_COLUMNS
from amad_bench.scoring import meteor, spice
from amad_bench.scoring.extra import ExtraScores, adopt_extra, read_extra, score_extra, write_extra
from amad_bench.scoring.java import JavaFailed

NOTHING = ExtraScores()
SPLITS = ("test", "test_blind", "test_majority", "test_2017_flickr")


@pytest.fixture
def score(tmp_path):
    """score(metrics, previous, a="a dog", ...) scores runs that predict that caption for two images."""

    def run(metrics, previous=NOTHING, **predictions: str):
        for run_id, text in predictions.items():
            write_run(tmp_path / "runs" / run_id, text)
        return score_extra(
            {metric: list(predictions) for metric in metrics}, ResultsFolder(tmp_path), previous
        )

    return run


def write_run(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
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
    (folder / "predictions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


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

    monkeypatch.setattr(meteor, "meteor_scores", meteor_scores)
    monkeypatch.setattr(spice, "spice_scores", spice_scores)
    return made


def test_rows_of_all_test_splits_but_the_controls(score, calls):
    scores = score(["METEOR", "SPICE"], b="a dog", a="cat")
    frame = scores.frame
    assert list(frame.columns) == SCORE_COLUMNS
    assert scores.unavailable == {}
    columns = zip(
        frame["metric"], frame["run_id"], frame["split"], frame["example_id"], frame["value"], strict=True
    )
    assert list(columns) == [
        (metric, run, split, example, value)
        for metric, by_run in (("METEOR", {"a": 3.0, "b": 5.0}), ("SPICE", {"a": 1.5, "b": 2.5}))
        for run, value in by_run.items()
        for split in ("test", "test_2017_flickr")
        for example in ("2", "1")
    ]
    assert frame["cluster_id"].tolist() == ["c2", "c1"] * 8
    assert frame["statistics"].tolist() == [
        *[[3.0, *[0.0] * 22]] * 4,
        *[[5.0, *[0.0] * 22]] * 4,
        *[None] * 8,
    ]
    assert calls == {"METEOR": [["cat"] * 4 + ["a dog"] * 4], "SPICE": [["cat"] * 4 + ["a dog"] * 4]}


def test_only_runs_with_new_predictions_are_scored_again(score, calls, tmp_path):
    metrics = ["METEOR", "SPICE"]
    write_extra(ResultsFolder(tmp_path), score(metrics, a="one", b="two"))
    again = score(metrics, read_extra(ResultsFolder(tmp_path)), a="one", b="changed", c="new")
    assert calls["METEOR"][1:] == [["changed"] * 4 + ["new"] * 4]
    assert calls["SPICE"][1:] == [["changed"] * 4 + ["new"] * 4]
    at_once = score(metrics, a="one", b="changed", c="new")
    pd.testing.assert_frame_equal(again.frame, at_once.frame)
    assert (again.unavailable, again.signatures, again.sources) == ({}, at_once.signatures, at_once.sources)


def test_what_another_config_asked_for_is_kept(score, calls, tmp_path):
    """Its runs and its metrics, as long as the predictions are there as they were."""
    first = score(["METEOR", "SPICE"], a="one", b="two", gone="three", changed="four")
    shutil.rmtree(tmp_path / "runs" / "gone")
    write_run(tmp_path / "runs" / "changed", "five")
    write_extra(ResultsFolder(tmp_path), first)
    second = score(["METEOR"], read_extra(ResultsFolder(tmp_path)), a="one", c="six")
    found = {str(metric): set(rows["run_id"]) for metric, rows in second.frame.groupby("metric")}
    assert found == {"METEOR": {"a", "b", "c"}, "SPICE": {"a", "b"}}
    assert {metric: set(of_runs) for metric, of_runs in second.sources.items()} == found
    assert calls["METEOR"][1:] == [["six"] * 4]
    both = score(["METEOR", "SPICE"], second, a="one", b="two", c="six")
    assert calls["METEOR"][2:] == []
    assert calls["SPICE"][1:] == [["six"] * 4]
    shutil.rmtree(tmp_path / "runs" / "changed")
    pd.testing.assert_frame_equal(both.frame, score(["METEOR", "SPICE"], a="one", b="two", c="six").frame)


@pytest.mark.usefixtures("calls")
def test_reasons_of_another_config_are_kept(score):
    first = score(["METEOR"], a="java dies", b="two")
    second = score(["METEOR"], first, c="three")
    assert second.unavailable == {"METEOR": {"a": "it died"}}
    assert score(["SPICE"], first, b="two").unavailable == {"METEOR": {"a": "it died"}}


def test_nothing_starts_when_nothing_changed(score, calls, tmp_path):
    write_extra(ResultsFolder(tmp_path), score(["METEOR"], a="one", b="two"))
    before = {path.name: path.read_bytes() for path in tmp_path.glob("extra_scores.*")}
    write_extra(
        ResultsFolder(tmp_path), score(["METEOR"], read_extra(ResultsFolder(tmp_path)), a="one", b="two")
    )
    assert len(calls["METEOR"]) == 1
    assert len(before) == 2
    assert before == {path.name: path.read_bytes() for path in tmp_path.glob("extra_scores.*")}


@pytest.mark.parametrize("of", ["the package", "the metric"])
def test_another_version_scores_all_again_and_is_not_mixed(score, calls, monkeypatch, of):
    previous = score(["METEOR"], a="one", b="two")
    assert previous.signatures == {
        "METEOR": "meteor-1.5|lang:en|norm:yes|tok:ptb|version:1|pycocoevalcap:1.2"
    }
    if of == "the package":
        monkeypatch.setattr("amad_bench.plan.extra_metrics.version", lambda _package: "1.3")
    else:
        monkeypatch.setitem(METRICS, "METEOR", dataclasses.replace(METRICS["METEOR"], version=2))
    again = score(["METEOR"], previous, a="one")
    assert calls["METEOR"][1:] == [["one"] * 4]
    assert set(again.frame["run_id"]) == {"a"}
    assert again.signatures != previous.signatures


def test_a_run_that_kills_meteor_blocks_no_other(score, calls):
    scores = score(["METEOR", "SPICE"], a="one", b="java dies", c="three", d="four")
    assert scores.unavailable == {"METEOR": {"b": "it died"}}
    by_metric = {str(metric): set(part["run_id"]) for metric, part in scores.frame.groupby("metric")}
    assert by_metric == {"METEOR": {"a", "c", "d"}, "SPICE": {"a", "b", "c", "d"}}
    assert list(scores.sources["METEOR"]) == ["a", "b", "c", "d"]
    # both of its splits kill the program: two starts more
    assert [len(started) for started in calls["METEOR"]] == [16, 10, 8]
    healed = score(["METEOR"], scores, a="one", b="java lives", c="three", d="four")
    assert calls["METEOR"][3:] == [["java lives"] * 4]
    assert healed.unavailable == {}
    assert set(healed.frame["run_id"]) == {"a", "b", "c", "d"}


def test_what_failed_is_tried_again_each_time(score, calls):
    scores = score(["METEOR"], a="one", b="java dies")
    again = score(["METEOR"], scores, a="one", b="java dies")
    assert calls["METEOR"][2:] == [["java dies"] * 4, ["java dies"] * 2]
    pd.testing.assert_frame_equal(again.frame, scores.frame)
    assert again.unavailable == scores.unavailable


def test_without_java_every_metric_has_a_reason(score, monkeypatch, tmp_path):
    monkeypatch.setattr("amad_bench.scoring.java.find_java", lambda: None)
    scores = score(["METEOR", "SPICE"], a="one", b="two")
    assert {metric: set(reasons) for metric, reasons in scores.unavailable.items()} == {
        "METEOR": {"a", "b"},
        "SPICE": {"a", "b"},
    }
    assert all("no java on PATH" in reason for reason in scores.unavailable["SPICE"].values())
    assert len(scores.frame) == 0
    write_extra(ResultsFolder(tmp_path), scores)
    read = read_extra(ResultsFolder(tmp_path))
    assert list(read.frame.columns) == SCORE_COLUMNS
    assert (read.unavailable, read.sources) == (scores.unavailable, scores.sources)


def test_reasons_for_people():
    reasons = dict.fromkeys("abcde", "no Java") | {"x": "it died"}
    assert by_reason(reasons) == ["no Java (runs a, b, c and 2 more)", "it died (run x)"]


def test_mistakes_of_the_user(score, tmp_path):
    with pytest.raises(UserError, match="extra metric 'BLEU' is unknown; expected some of METEOR, SPICE"):
        score(["BLEU"])
    score([], a="one")
    path = tmp_path / "runs" / "a" / "predictions.jsonl"
    path.write_text('{"split": "test"\n')
    with pytest.raises(UserError, match=r"a/predictions.jsonl: line 1 is no JSON record"):
        score_extra({"METEOR": ["a"]}, ResultsFolder(tmp_path), NOTHING)
    path.unlink()
    with pytest.raises(UserError, match=r"a/predictions.jsonl: this file of a finished run is missing"):
        score_extra({"METEOR": ["a"]}, ResultsFolder(tmp_path), NOTHING)


@pytest.mark.usefixtures("calls")
def test_reading_back(score, tmp_path):
    assert read_extra(ResultsFolder(tmp_path)).signatures == {}
    scores = score(["METEOR", "SPICE"], a="one", b="java dies")
    write_extra(ResultsFolder(tmp_path), scores)
    read = read_extra(ResultsFolder(tmp_path))
    pd.testing.assert_frame_equal(read.frame, scores.frame)
    assert (read.unavailable, read.signatures, read.sources) == (
        scores.unavailable,
        scores.signatures,
        scores.sources,
    )
    facts = tmp_path / "extra_scores.json"
    content = facts.read_text()
    facts.unlink()
    assert read_extra(ResultsFolder(tmp_path)).signatures == {}  # writing it was interrupted
    for damaged in ("{}", content.replace('{\n      "b": "it died"\n    }', '"it died"')):
        assert damaged != content
        facts.write_text(damaged)
        with pytest.raises(UserError, match=r"extra_scores.parquet: not as `amad-bench score` writes it"):
            read_extra(ResultsFolder(tmp_path))


def test_scores_come_along_with_copied_runs(tmp_path, calls, monkeypatch):
    here, there = ResultsFolder(tmp_path / "here"), ResultsFolder(tmp_path / "there")
    for results, runs in ((here, "ab"), (there, "bcde")):
        for run_id in runs:
            write_run(results.run(run_id).path, f"a {results.path.name} dog")
        write_extra(results, score_extra({"METEOR": list(runs)}, results, NOTHING))
    for run_id in "cd":
        shutil.copytree(there.run(run_id).path, here.run(run_id).path)
    write_run(here.run("d").path, "other words")
    assert adopt_extra(here, there, ["c", "d"]) == 1  # d has other predictions here
    adopted = read_extra(here)
    assert adopted.sources["METEOR"].keys() == {"a", "b", "c"}
    again = score_extra({"METEOR": ["a", "b", "c"]}, here, adopted)
    assert len(calls["METEOR"]) == 2
    fresh = score_extra({"METEOR": ["a", "b", "c"]}, here, NOTHING)
    pd.testing.assert_frame_equal(again.frame, fresh.frame)
    monkeypatch.setattr("amad_bench.scoring.extra.signature", lambda _: "another way")
    assert adopt_extra(here, there, ["c"]) == 0
