"""Records of metrics and their functions; oracle: the corpus scorers of sacreBLEU and pycocoevalcap."""

import dataclasses
import importlib
import math
import pkgutil

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from amad_bench import scoring
from amad_bench.plan.catalogue import METRICS, Metric
from amad_bench.runtime.run_folder.predictions import Prediction
from amad_bench.scoring.metrics import corpus_score, measure
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


# ------------------------------------------------------------------------------- records and functions
def functions(prefix: str) -> set[tuple[str, str]]:
    """(file, name without prefix) of the functions in amad_bench/scoring that begin with it."""
    found = set()
    for module in pkgutil.iter_modules(scoring.__path__):
        members = vars(importlib.import_module(f"amad_bench.scoring.{module.name}"))
        found |= {
            (module.name, name.removeprefix(prefix))
            for name, member in members.items()
            if name.startswith(prefix) and member.__module__ == f"amad_bench.scoring.{module.name}"
        }
    return found


def test_the_same_metrics():
    """Every record has its functions and every function its record."""
    records = {(metric.file, name.lower()): metric for name, metric in METRICS.items()}
    assert len(records) == len(METRICS)
    corpus_metrics = {key for key, metric in records.items() if metric.statistics}
    assert functions("measure_") == set(records)
    assert functions("total_") == corpus_metrics
    assert functions("trouble_") <= corpus_metrics


# No articles and numbers: VQA's evaluator takes them out of a prediction, and not of answers that agree.
WORDS = ["dog", "cat", "red", "blue", "ball", "runs", "sits", "on", "under", "near", "old", "big"]


def texts(rng: np.random.Generator) -> str:
    return " ".join(rng.choice(WORDS, rng.integers(0, 12)))


def corpora(metric: Metric) -> tuple[list[Prediction], list[Prediction]]:
    """Predictions of chance, now and then right or empty, and perfect ones: of the same references."""
    rng = np.random.default_rng(5)
    references = [" ".join(rng.permutation(WORDS)[:9]) for _ in range(60)]
    guesses = [reference if rng.random() < 0.1 else texts(rng) for reference in references]
    several = 10 if metric.answers == "several" else 1
    chance, perfect = (
        [
            Prediction("test", str(number), "", text, [reference] * several, {})
            for number, (text, reference) in enumerate(zip(predictions, references, strict=True))
        ]
        for predictions in (guesses, references)
    )
    return chance, perfect


@pytest.mark.parametrize(
    "name", [*(n for n, m in METRICS.items() if not m.slow), pytest.param("METEOR", marks=pytest.mark.slow)]
)
def test_scores_are_what_their_record_says(name):
    """Within its bounds, in its direction, and of so many statistics; a perfect prediction is at its best."""
    metric = METRICS[name]
    chance, perfect = (found[name] for found in measure([name], corpora(metric)))
    for found in (chance, perfect):
        points = metric.scale * np.array([found.score, *found.values])
        assert (points >= metric.minimum - 1e-9).all()
        assert (points <= metric.maximum + 1e-9).all()
        if metric.statistics:
            statistics = np.array(found.statistics)
            assert statistics.shape == (60, metric.statistics)
            assert corpus_score(name, statistics.sum(axis=0)) == pytest.approx(found.score, abs=1e-9)
        else:
            assert found.statistics is None
            assert np.mean(found.values) == pytest.approx(found.score, abs=1e-12)
    assert (perfect.score > chance.score) == metric.higher_is_better
    assert metric.per_cent(metric.scale * perfect.score) > metric.per_cent(metric.scale * chance.score)
    if name != "CIDEr":  # its best depends on how rare the references' words are
        best = metric.maximum if metric.higher_is_better else metric.minimum
        assert metric.scale * perfect.score == pytest.approx(best, abs=1e-6)


def test_an_unbounded_rate_does_exceed_100_points():
    (found,) = measure(["TER"], [[Prediction("test", "1", "", "a b c d e", ["x"], {})]])
    assert METRICS["TER"].scale * found["TER"].score == 500.0
    assert METRICS["TER"].per_cent(500.0) == -400.0


def test_per_cent_of_the_way_from_the_worst_to_the_best():
    assert METRICS["CIDEr"].per_cent(250.0) == 25.0
    assert METRICS["TER"].per_cent(30.0) == 70.0
    bounded = dataclasses.replace(METRICS["TER"], minimum=20.0, maximum=60.0)
    assert (bounded.per_cent(20.0), bounded.per_cent(60.0), bounded.per_cent(30.0)) == (100.0, 0.0, 75.0)
    free = dataclasses.replace(METRICS["TER"], minimum=-math.inf)  # a log-likelihood, say
    assert (free.per_cent(0.0), free.per_cent(100.0), free.per_cent(-50.0)) == (100.0, 0.0, 150.0)
    above = dataclasses.replace(free, higher_is_better=True, maximum=5.0)
    assert (above.per_cent(5.0), above.per_cent(-95.0), above.per_cent(-100.0)) == (100.0, 0.0, -5.0)


def test_cider_on_few_images_carries_a_warning():
    assert METRICS["CIDEr"].warning_on(49).startswith("CIDEr on 49 images: it weighs words by how rare")
    assert METRICS["CIDEr"].warning_on(50) == ""
    assert METRICS["ROUGE_L"].warning_on(3) == ""
