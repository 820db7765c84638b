"""Oracle: sacreBLEU's public corpus and sentence scores."""

import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from amad_bench.runtime.errors import UserError
from amad_bench.scoring.corpus import corpus_score
from amad_bench.scoring.translation import score_translations

REFERENCES = ["Der Ball ist rot.", "Er liegt neben dem blauen Würfel.", "Sie ist klein."]
HYPOTHESES = ["der Ball ist rot.", "Er liegt auf dem blauen Würfel.", ""]


@pytest.mark.parametrize("lowercase", [False, True])
def test_equals_sacrebleu(lowercase):
    scores = score_translations(REFERENCES, HYPOTHESES, lowercase=lowercase)
    oracles = {"BLEU": BLEU(lowercase=lowercase), "chrF2": CHRF(lowercase=lowercase), "TER": TER()}
    assert set(scores.corpus) == set(oracles)
    for metric, oracle in oracles.items():
        assert scores.corpus[metric] == oracle.corpus_score(HYPOTHESES, [REFERENCES]).score
        assert scores.signatures[metric] == str(oracle.get_signature())
        statistics = scores.per_sentence[metric].tolist()
        summed = [sum(column) for column in zip(*statistics, strict=True)]
        assert corpus_score(metric, summed) == pytest.approx(scores.corpus[metric], abs=1e-9)


def test_case_matters_unless_lowercase_is_asked_for():
    cased, lower = (
        score_translations(REFERENCES, HYPOTHESES, lowercase=flag).corpus for flag in (False, True)
    )
    assert lower["BLEU"] > cased["BLEU"]
    assert lower["TER"] == cased["TER"]


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


@pytest.mark.parametrize(("references", "hypotheses"), [([], []), (["a"], []), (["a"], ["a", "b"])])
def test_unequal_or_empty_lists(references, hypotheses):
    with pytest.raises(UserError, match="translation: "):
        score_translations(references, hypotheses)
