"""Oracle: sacreBLEU's public corpus and sentence scores."""

import gzip

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from amad_bench.runtime.errors import UserError
from amad_bench.scoring.metrics import corpus_score
from amad_bench.scoring.translation import score_translations

REFERENCES = ["Der Ball ist rot.", "Er liegt neben dem blauen Würfel.", "Sie ist klein."]
HYPOTHESES = ["der Ball ist rot.", "Er liegt auf dem blauen Würfel.", ""]


@pytest.mark.parametrize("lowercase", [False, True])
def test_equals_sacrebleu(lowercase):
    scores = score_translations(REFERENCES, HYPOTHESES, lowercase=lowercase)
    oracles = {"BLEU": BLEU(lowercase=lowercase), "chrF2": CHRF(lowercase=lowercase), "TER": TER()}
    left_out = {"BLEU": "|max_ngram_order:4", "chrF2": "|beta:2", "TER": ""}
    assert set(scores.corpus) == set(oracles)
    for metric, oracle in oracles.items():
        assert scores.corpus[metric] == oracle.corpus_score(HYPOTHESES, [REFERENCES]).score
        assert scores.signatures[metric] == f"{oracle.get_signature()}{left_out[metric]}"
        statistics = scores.per_sentence[metric].tolist()
        summed = [sum(column) for column in zip(*statistics, strict=True)]
        assert corpus_score(metric, summed) == pytest.approx(scores.corpus[metric], abs=1e-9)


def test_case_matters_unless_lowercase_is_asked_for():
    cased, lower = (
        score_translations(REFERENCES, HYPOTHESES, lowercase=flag).corpus for flag in (False, True)
    )
    assert lower["BLEU"] > cased["BLEU"]
    assert lower["TER"] == cased["TER"]


def test_the_added_parameters_are_those_of_the_scorers():
    """If sacreBLEU changed these defaults, the signatures would tell a lie."""
    assert (BLEU().max_ngram_order, CHRF().beta) == (4, 2)


@pytest.mark.trap("bleu-1")
def test_signature_names_case_and_version():
    signatures = score_translations(REFERENCES, HYPOTHESES, lowercase=True).signatures
    assert "case:lc" in signatures["BLEU"]
    assert "version:" in signatures["chrF2"]


def test_sentence_scores_equal_sacrebleu():
    scores = score_translations(REFERENCES, HYPOTHESES)
    oracles = {"BLEU": BLEU(effective_order=True), "chrF2": CHRF(), "TER": TER()}
    for metric, oracle in oracles.items():
        expected = [
            oracle.sentence_score(hypothesis, [reference]).score
            for hypothesis, reference in zip(HYPOTHESES, REFERENCES, strict=True)
        ]
        assert scores.sentence_scores[metric].tolist() == pytest.approx(expected, abs=1e-9)


def test_only_the_metrics_asked_for():
    assert list(score_translations(REFERENCES, HYPOTHESES, metrics=("BLEU",)).corpus) == ["BLEU"]


WORDS = ["und", "EIN", "rot-weiß", "z. B.", "3,5", "„so“", ""]


def perturbed(sentence: str, rng: np.random.Generator) -> str:
    """With words dropped, doubled, moved, replaced or changed in case; now and then empty."""
    words = sentence.split()
    for _ in range(rng.integers(0, 5)):
        place = int(rng.integers(0, max(1, len(words))))
        kind = rng.integers(0, 5)
        if kind == 0:
            words = words[:place] + words[place + 1 :]
        elif kind == 1:
            words = words[:place] + words[place : place + 2] + words[place:]
        elif kind == 2:
            words = words[place:] + words[:place]
        elif kind == 3:
            words[place : place + 1] = [WORDS[int(rng.integers(0, len(WORDS)))]]
        else:
            words[place : place + 1] = [word.upper() for word in words[place : place + 1]]
    return "" if rng.random() < 0.01 else " ".join(words)


@pytest.mark.parametrize(("language", "lowercase"), [("de", False), ("fr", True)])
def test_a_thousand_real_pairs(shared_data, language, lowercase):
    """The statistics of the sentences add up to what sacreBLEU says of them all."""
    rng = np.random.default_rng(0)
    path = shared_data / "multi30k" / "raw" / f"test_2016_flickr.{language}.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        references = file.read().splitlines()
    assert len(references) == 1000
    hypotheses = [perturbed(sentence, rng) for sentence in references]
    scores = score_translations(references, hypotheses, lowercase)
    oracles = {"BLEU": BLEU(lowercase=lowercase), "chrF2": CHRF(lowercase=lowercase), "TER": TER()}
    for metric, oracle in oracles.items():
        expected = oracle.corpus_score(hypotheses, [references]).score
        assert 5 < expected < 95
        assert scores.corpus[metric] == expected
        summed = np.sum(scores.per_sentence[metric].tolist(), axis=0)
        assert corpus_score(metric, summed) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("references", "hypotheses"), [([], []), (["a"], []), (["a"], ["a", "b"])])
def test_unequal_or_empty_lists(references, hypotheses):
    with pytest.raises(UserError, match="translation: "):
        score_translations(references, hypotheses)
