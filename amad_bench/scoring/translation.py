"""Translation scores by sacreBLEU, with signatures and per-sentence sufficient statistics."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from amad_bench.runtime.errors import UserError
from amad_bench.scoring.measured import Corpora, Measured, only_references

MIN_FOUR_GRAMS = 20  # matches, below which BLEU's logarithm makes a comparison meaningless
SCORED = ("BLEU", "chrF2", "TER")
# Parameters that change the score and that sacreBLEU's signature leaves out
_NOT_IN_SIGNATURE = {"BLEU": "|max_ngram_order:4", "chrF2": "|beta:2", "TER": ""}


@dataclass(frozen=True)
class TranslationScores:
    """Scores of one corpus.

    `corpus`: metric -> score (0..100, TER may exceed it).
    `signatures`: metric -> sacreBLEU's signature and the parameters that it leaves out.

    `per_sentence`: a column of sufficient statistics (lists) per metric, in the sentences' order; their sum
    gives the corpus score (`scoring.metrics`). `sentence_scores`: sentence-level scores, a column per metric.
    """

    corpus: dict[str, float]
    signatures: dict[str, str]
    per_sentence: pd.DataFrame
    sentence_scores: pd.DataFrame


def score_translations(
    references: list[str], hypotheses: list[str], lowercase: bool = False, metrics: tuple[str, ...] = SCORED
) -> TranslationScores:
    """sacreBLEU's BLEU, chrF2 and TER; `lowercase` is for BLEU and chrF2, TER ignores case by default.

    Sentence-level BLEU has sacreBLEU's effective order. UserError for empty lists or lists of unequal length.
    """
    if not references or len(references) != len(hypotheses):
        raise UserError(
            f"translation: {len(references)} references and {len(hypotheses)} hypotheses; "
            "expected one of each per sentence, at least one sentence"
        )
    scores = TranslationScores({}, {}, pd.DataFrame(), pd.DataFrame())
    for metric in metrics:
        measured = _measured(metric, lowercase, references, hypotheses)
        scores.corpus[metric], scores.signatures[metric] = measured.score, measured.signature
        scores.per_sentence[metric] = pd.Series(measured.statistics)
        scores.sentence_scores[metric] = pd.Series(measured.values)
    return scores


def measure_bleu(corpora: Corpora) -> list[Measured]:
    return _of_corpora(corpora, "BLEU")


def measure_bleu_lc(corpora: Corpora) -> list[Measured]:
    return _of_corpora(corpora, "BLEU", lowercase=True)


def measure_chrf2(corpora: Corpora) -> list[Measured]:
    return _of_corpora(corpora, "chrF2")


def measure_ter(corpora: Corpora) -> list[Measured]:
    return _of_corpora(corpora, "TER")


def total_bleu(summed: np.ndarray) -> np.ndarray:
    """Statistics: length of the hypothesis, of the reference, correct n-grams 1..4, all n-grams 1..4."""
    length, reference_length = summed[..., 0], summed[..., 1]
    correct_n, total_n = summed[..., 2:6], summed[..., 6:10]
    # `exp` smoothing: the k-th order without a match counts as 1 / 2^k matches.
    smoothed_n = np.where(correct_n > 0, correct_n, 0.5 ** np.cumsum(correct_n == 0, axis=-1))
    scorable = np.all(total_n > 0, axis=-1) & np.any(correct_n > 0, axis=-1)
    log_precision = np.log(smoothed_n / np.where(total_n > 0, total_n, 1.0)).mean(axis=-1)
    log_brevity = np.minimum(0.0, 1.0 - reference_length / np.where(length > 0, length, 1.0))
    return np.where(scorable, 100.0 * np.exp(log_precision + log_brevity), 0.0)


def total_bleu_lc(summed: np.ndarray) -> np.ndarray:
    return total_bleu(summed)


def trouble_bleu(summed_SK: np.ndarray) -> str:
    """Reason why runs cannot be compared: too few matches of the longest n-grams."""
    fewest = float(summed_SK[:, 5].min())
    if fewest < MIN_FOUR_GRAMS:
        return f"a run has {fewest:.0f} four-gram matches, {MIN_FOUR_GRAMS} are needed for BLEU"
    return ""


def total_chrf2(summed: np.ndarray) -> np.ndarray:
    """Statistics: n-grams of the hypothesis, of the reference, matches; for n = 1..6."""
    beta_squared = 4.0
    hypothesis_n, reference_n, match_n = (summed[..., part::3] for part in range(3))
    counted_n = (hypothesis_n > 0) & (reference_n > 0)
    orders = np.maximum(1, counted_n.sum(axis=-1))
    precision, recall = (
        (np.where(counted_n, match_n, 0.0) / np.where(counted_n, n_grams_n, 1.0)).sum(axis=-1) / orders
        for n_grams_n in (hypothesis_n, reference_n)
    )
    matched = precision + recall > 0
    divisor = np.where(matched, beta_squared * precision + recall, 1.0)
    return 100.0 * (1.0 + beta_squared) * precision * recall / divisor


def total_ter(summed: np.ndarray) -> np.ndarray:
    """Statistics: edits, length of the reference."""
    edits, reference_length = summed[..., 0], summed[..., 1]
    has_reference = reference_length > 0
    rate = edits / np.where(has_reference, reference_length, 1.0)
    return 100.0 * np.where(has_reference, rate, (edits > 0).astype(np.float64))


def _of_corpora(corpora: Corpora, metric: str, lowercase: bool = False) -> list[Measured]:
    return [
        _measured(metric, lowercase, only_references(rows, "translation"), [row.prediction for row in rows])
        for rows in corpora.rows
    ]


def _measured(metric: str, lowercase: bool, references: list[str], hypotheses: list[str]) -> Measured:
    """The score of a corpus and of its sentences, in points."""
    scorer = {"BLEU": BLEU(lowercase=lowercase), "chrF2": CHRF(lowercase=lowercase), "TER": TER()}[metric]
    # The two halves of sacreBLEU's `corpus_score`; the whole, which is public, keeps no statistics.
    statistics = scorer._extract_corpus_statistics(hypotheses, [references])
    score = float(scorer._aggregate_and_compute(statistics).score)
    return Measured(
        score,
        [_sentence_score(metric, row) for row in statistics],
        [[float(value) for value in row] for row in statistics],
        f"{scorer.get_signature()}{_NOT_IN_SIGNATURE[metric]}",
    )


def _sentence_score(metric: str, statistics: list[int]) -> float:
    if metric != "BLEU":
        total = {"chrF2": total_chrf2, "TER": total_ter}[metric]
        return float(total(np.asarray(statistics, dtype=np.float64)))
    score = BLEU.compute_bleu(
        correct=statistics[2:6],
        total=statistics[6:],
        sys_len=statistics[0],
        ref_len=statistics[1],
        smooth_method="exp",
        effective_order=True,
    )
    return float(score.score)
