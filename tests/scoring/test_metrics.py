"""Oracle: the public corpus scorers of sacreBLEU and pycocoevalcap."""

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from amad_bench.scoring.metrics import corpus_score
from amad_bench.scoring.translation import score_translations

ORACLES = {"BLEU": BLEU(), "BLEU_lc": BLEU(lowercase=True), "chrF2": CHRF(), "TER": TER()}

CORPORA = {
    "ordinary": (
        ["The blue ball lies on the red box.", "A Dog is running through the park."],
        ["The blue ball lies next to the red box.", "a dog runs through the park."],
    ),
    "perfect": (["one two three four five", "six seven eight nine"],) * 2,
    "shorter than the references": (["one two three four five six seven"], ["one two three four five"]),
    "no 4-gram match": (["one two three x four five six"], ["one two three y four five six"]),
    "no 3-gram and no 4-gram match": (["one two x four five y"], ["one two z four five w"]),
    "only single words match": (["a b c d e"], ["e d c b a"]),
    "no match": (["a b c d e"], ["f g h i j"]),
    "hypothesis under four words": (["one two three"], ["one two three"]),
    "one empty hypothesis": (["one two three four five", "six seven"], ["one two three four six", ""]),
    "all hypotheses empty": (["one two three", "four five"], ["", ""]),
    "an empty reference": (["", "one two three four"], ["one", "one two three four"]),
    "all references empty": (["", ""], ["one two", "three"]),
    "both empty": ([""], [""]),
    "much too long": (["one"], ["one two three four five six seven eight"]),
}


def summed_statistics(metric: str, references: list[str], hypotheses: list[str]) -> np.ndarray:
    scores = score_translations(references, hypotheses, lowercase=metric == "BLEU_lc")
    return np.array(scores.per_sentence[metric.removesuffix("_lc")].tolist()).sum(axis=0)


@pytest.mark.parametrize("name", CORPORA)
@pytest.mark.parametrize("metric", ORACLES)
def test_equals_sacrebleu(metric, name):
    references, hypotheses = CORPORA[name]
    expected = ORACLES[metric].corpus_score(hypotheses, [references]).score
    assert corpus_score(metric, summed_statistics(metric, references, hypotheses)) == pytest.approx(
        expected, abs=1e-9
    )


def coco_statistics(references: list[list[str]], hypotheses: list[str]) -> np.ndarray:
    scorer = BleuScorer(n=4)
    for captions, hypothesis in zip(references, hypotheses, strict=True):
        scorer += (hypothesis, captions)
    rows = []
    for counts in scorer.ctest:
        length = counts["testlen"]
        closest = min(counts["reflen"], key=lambda reflen: (abs(reflen - length), reflen))
        rows.append([length, closest, *counts["guess"], *counts["correct"]])
    return np.array(rows).sum(axis=0)


@pytest.mark.parametrize("name", CORPORA)
def test_equals_pycocoevalcap(name):
    references, hypotheses = CORPORA[name]
    gts = {str(i): [reference, "another caption"] for i, reference in enumerate(references)}
    res = {str(i): [hypothesis] for i, hypothesis in enumerate(hypotheses)}
    expected, _ = Bleu(4).compute_score(gts, res, verbose=0)
    summed = coco_statistics(list(gts.values()), hypotheses)
    for order in (1, 2, 3, 4):
        assert corpus_score(f"Bleu_{order}", summed) == pytest.approx(expected[order - 1], abs=1e-12)


@pytest.mark.parametrize("metric", ["BLEU", "chrF2", "TER", "BLEU_lc"])
def test_many_sums_at_once(metric):
    one_by_one = [summed_statistics(metric, *corpus) for corpus in CORPORA.values()]
    stacked = np.array(one_by_one).reshape(2, 7, -1)
    scores = corpus_score(metric, stacked)
    assert isinstance(scores, np.ndarray)
    assert scores.shape == (2, 7)
    for score, summed in zip(scores.ravel(), one_by_one, strict=True):
        assert score == corpus_score(metric, summed)


def test_many_coco_sums_at_once():
    rng = np.random.default_rng(3)
    summed = rng.integers(0, 50, (5, 3, 10))
    scores = corpus_score("Bleu_3", summed)
    assert isinstance(scores, np.ndarray)
    assert scores.shape == (5, 3)
    assert scores[4, 2] == corpus_score("Bleu_3", summed[4, 2])


def test_one_sum_gives_a_float():
    assert type(corpus_score("TER", np.array([1, 4]))) is float
    assert corpus_score("TER", np.array([1, 4])) == 25.0


def test_wrong_metric_and_wrong_statistics():
    with pytest.raises(ValueError, match="no corpus metric"):
        corpus_score("CIDEr", np.zeros(10))
    with pytest.raises(ValueError, match="expected statistics"):
        corpus_score("TER", np.zeros(10))
