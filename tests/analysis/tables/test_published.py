"""The table `published`: whose scores stand beside ours."""

from pathlib import Path

import pandas as pd
import pytest

from amad_bench.analysis.collect import collect
from amad_bench.analysis.tables import published
from amad_bench.analysis.tables.published import published_scores, published_table

FACTS = """work,model,pretraining,task,split,metric,value,source,quote
Cho,VL-T5,180K,VQAv2,karpathy-test overall,accuracy,67.9,one,q
Cho,VL-T5,180K,VQAv2,karpathy-test overall,accuracy,67.9,two,q
Cho,VL-T5,180K,VQAv2,karpathy-test in-domain,accuracy,71.4,one,q
Cho,VL-T5,180K,VQAv2,test-std,accuracy,70.3,one,q
Li,BLIP ViT-B,14M,COCO caption,karpathy-test (cross-entropy),BLEU@4,38.6,three,q
Li,BLIP ViT-B,14M,COCO caption,karpathy-test,"CIDEr (x100, rounded)",133.3,three,q
Wang,MiniLM,none,SST-2,dev,accuracy,92.0,four,q
"""


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    path = tmp_path / "published.csv"
    path.write_text(FACTS)
    return path


def test_scores_on_our_test_splits_once_each_with_all_sources(facts):
    found = published_scores(facts)
    shown = found[["family", "dataset", "metric", "subset", "value", "source"]].to_numpy().tolist()
    assert shown == [
        ["vlt5", "vqa_v2", "vqa_accuracy", "all", 67.9, "one; two"],
        ["vlt5", "vqa_v2", "vqa_accuracy", "domain: in", 71.4, "one"],
        ["blip", "coco", "Bleu_4", "all", 38.6, "three"],
        ["blip", "coco", "CIDEr", "all", 133.3, "three"],
    ]


def test_the_shipped_facts_are_read(repository):
    found = published_scores(repository / "configs" / "published.csv")
    own = found[(found["model"] == "VL-T5") & (found["metric"] == "CIDEr") & (found["subset"] == "all")]
    assert own["value"].tolist() == [116.5]
    assert found["source"].str.len().min() > 0
    assert published_scores(repository / "nowhere.csv").empty


def test_teachers_of_the_models_family_stand_beside_them(fake_results, facts, monkeypatch):
    collected = collect(*fake_results)
    assert published_table(collected).empty  # scenes have no published scores
    monkeypatch.setattr(published, "shipped", lambda _: facts)
    monkeypatch.setattr(published, "_DATASETS", {"VQAv2": "scenes", "COCO caption": "coco"})
    table = published_table(collected)
    assert table["value"].tolist() == [67.9, 71.4]
    results = published.results_table(collected)
    ours = results[
        (results["loss"] == "teacher") & (results["family"] == "vlt5") & (results["task"] == "vqa")
    ]
    ours = ours[ours["metric"] == "vqa_accuracy"].set_index("subset")["mean"]
    assert table["mean"].tolist() == [ours["all"], ours["domain: in"]]
    assert table["teacher_heads"].tolist() == [8, 8]


def test_a_limited_sweep_is_not_compared(fake_results, facts, monkeypatch):
    collected = collect(*fake_results)
    monkeypatch.setattr(published, "shipped", lambda _: facts)
    monkeypatch.setattr(published, "_DATASETS", {"VQAv2": "scenes"})
    monkeypatch.setattr(published, "_WHOLE", "another")
    table = published_table(collected)
    assert len(table) == 2
    assert table["mean"].isna().all()
    assert isinstance(table, pd.DataFrame)
