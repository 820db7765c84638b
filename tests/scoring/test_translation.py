"""Oracle: sacreBLEU's public corpus and sentence scores."""

import gzip

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from amad_bench.runtime.errors import UserError
from amad_bench.scoring.corpus import corpus_score
from amad_bench.scoring.translation import score_translations

REFERENCES = ["Der Ball ist rot.", "Er liegt neben dem blauen Würfel.", "Sie ist klein."]
HYPOTHESES = ["der Ball ist rot.", "Er liegt auf dem blauen Würfel.", ""]


ORACLES = {"BLEU": BLEU(), "chrF2": CHRF(), "TER": TER(), "BLEU_lc": BLEU(lowercase=True)}


def test_equals_sacrebleu():
    scores, signatures = score_translations(REFERENCES, HYPOTHESES)
    left_out = {"BLEU": "|max_ngram_order:4", "chrF2": "|beta:2", "TER": "", "BLEU_lc": "|max_ngram_order:4"}
    assert list(scores) == list(signatures) == list(ORACLES)
    for metric, oracle in ORACLES.items():
        expected = oracle.corpus_score(HYPOTHESES, [REFERENCES]).score
        assert signatures[metric] == f"{oracle.get_signature()}{left_out[metric]}"
        assert corpus_score(metric, np.array(scores[metric][1]).sum(axis=0)) == pytest.approx(
            expected, abs=1e-9
        )


def test_the_added_parameters_are_those_of_the_scorers():
    """If sacreBLEU changed these defaults, the signatures would tell a lie."""
    assert (BLEU().max_ngram_order, CHRF().beta) == (4, 2)


@pytest.mark.trap("bleu-1")
def test_signature_names_case_and_version():
    _, signatures = score_translations(REFERENCES, HYPOTHESES)
    assert "case:lc" in signatures["BLEU_lc"]
    assert "version:" in signatures["chrF2"]


def test_sentence_scores_equal_sacrebleu():
    scores, _ = score_translations(REFERENCES, HYPOTHESES)
    oracles = {"BLEU": BLEU(effective_order=True), "BLEU_lc": BLEU(lowercase=True, effective_order=True)}
    oracles |= {"chrF2": CHRF(), "TER": TER()}
    for metric, oracle in oracles.items():
        expected = [
            oracle.sentence_score(hypothesis, [reference]).score
            for hypothesis, reference in zip(HYPOTHESES, REFERENCES, strict=True)
        ]
        assert scores[metric][0] == pytest.approx(expected, abs=1e-9)


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


@pytest.mark.parametrize("language", ["de", "fr"])
def test_a_thousand_real_pairs(shared_data, language):
    """The statistics of the sentences add up to what sacreBLEU says of them all."""
    rng = np.random.default_rng(0)
    path = shared_data / "multi30k" / "raw" / f"test_2016_flickr.{language}.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        references = file.read().splitlines()
    assert len(references) == 1000
    hypotheses = [perturbed(sentence, rng) for sentence in references]
    scores, _ = score_translations(references, hypotheses)
    for metric, oracle in ORACLES.items():
        expected = oracle.corpus_score(hypotheses, [references]).score
        assert 5 < expected < 95
        summed = np.array(scores[metric][1]).sum(axis=0)
        assert corpus_score(metric, summed) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("references", "hypotheses"), [([], []), (["a"], []), (["a"], ["a", "b"])])
def test_unequal_or_empty_lists(references, hypotheses):
    with pytest.raises(UserError, match="translation: "):
        score_translations(references, hypotheses)
