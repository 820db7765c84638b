"""Translation scores by sacreBLEU, with signatures and per-sentence sufficient statistics."""

from dataclasses import dataclass

import pandas as pd
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from amad_bench.runtime.errors import UserError
from amad_bench.scoring.corpus import corpus_score

METRICS = ("BLEU", "chrF2", "TER")
# Parameters that change the score and that sacreBLEU's signature leaves out
_NOT_IN_SIGNATURE = {"BLEU": "|max_ngram_order:4", "chrF2": "|beta:2", "TER": ""}


@dataclass(frozen=True)
class TranslationScores:
    """Scores of one corpus.

    `corpus`: metric -> score (0..100, TER may exceed it).
    `signatures`: metric -> sacreBLEU's signature and the parameters that it leaves out.

    `per_sentence`: a column of sufficient statistics (lists) per metric, in the sentences' order; their sum
    gives the corpus score (`scoring.corpus`). `sentence_scores`: sentence-level scores, a column per metric.
    """

    corpus: dict[str, float]
    signatures: dict[str, str]
    per_sentence: pd.DataFrame
    sentence_scores: pd.DataFrame


def score_translations(
    references: list[str], hypotheses: list[str], lowercase: bool = False, metrics: tuple[str, ...] = METRICS
) -> TranslationScores:
    """sacreBLEU's BLEU, chrF2 and TER; `lowercase` is for BLEU and chrF2, TER ignores case by default.

    Sentence-level BLEU has sacreBLEU's effective order. UserError for empty lists or lists of unequal length.
    """
    if not references or len(references) != len(hypotheses):
        raise UserError(
            f"translation: {len(references)} references and {len(hypotheses)} hypotheses; "
            "expected one of each per sentence, at least one sentence"
        )
    scorers = {"BLEU": BLEU(lowercase=lowercase), "chrF2": CHRF(lowercase=lowercase), "TER": TER()}
    scores = TranslationScores({}, {}, pd.DataFrame(), pd.DataFrame())
    for metric in metrics:
        scorer = scorers[metric]
        # The two halves of sacreBLEU's `corpus_score`; the whole, which is public, keeps no statistics.
        statistics = scorer._extract_corpus_statistics(hypotheses, [references])
        scores.corpus[metric] = float(scorer._aggregate_and_compute(statistics).score)
        scores.signatures[metric] = f"{scorer.get_signature()}{_NOT_IN_SIGNATURE[metric]}"
        scores.per_sentence[metric] = pd.Series([[float(value) for value in row] for row in statistics])
        scores.sentence_scores[metric] = pd.Series([_sentence_score(metric, row) for row in statistics])
    return scores


def _sentence_score(metric: str, statistics: list[int]) -> float:
    if metric != "BLEU":
        return float(corpus_score(metric, statistics))
    score = BLEU.compute_bleu(
        correct=statistics[2:6],
        total=statistics[6:],
        sys_len=statistics[0],
        ref_len=statistics[1],
        smooth_method="exp",
        effective_order=True,
    )
    return float(score.score)
