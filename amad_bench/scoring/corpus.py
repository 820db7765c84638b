"""Corpus scores as functions of summed sufficient statistics, vectorised for resampling."""

import numpy as np
from numpy.typing import ArrayLike

# metric -> how many statistics an example has
STATISTICS = {
    **dict.fromkeys(
        ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4"), 10
    ),  # testlen, reflen, guess 1..4, correct 1..4
    **dict.fromkeys(("BLEU", "BLEU_lc"), 10),  # hypothesis length, reference length, correct 1..4, total 1..4
    "chrF2": 18,  # (hypothesis n-grams, reference n-grams, matches) for n = 1..6
    "TER": 2,  # edits, reference length
}


def corpus_score(metric: str, summed: ArrayLike) -> np.ndarray | float:
    """The corpus score (...) of statistics (..., k) already summed over examples; a float for one sum.

    Bleu_n as pycocoevalcap 1.2 has it, in [0, 1]; BLEU, BLEU_lc (smoothing `exp`), chrF2 and TER as
    sacreBLEU 2 has them, in points (0..100, TER may exceed it). ValueError for another metric or another k.
    """
    if metric not in STATISTICS:
        raise ValueError(f"{metric!r} is no corpus metric; known: {', '.join(STATISTICS)}")
    sums = np.asarray(summed, dtype=np.float64)
    if sums.shape[-1:] != (STATISTICS[metric],):
        raise ValueError(f"{metric}: expected statistics (..., {STATISTICS[metric]}), got {sums.shape}")
    if metric.startswith("Bleu_"):
        score = _coco_bleu(sums, order=int(metric[-1]))
    else:
        score = {"BLEU": _sacrebleu, "BLEU_lc": _sacrebleu, "chrF2": _chrf2, "TER": _ter}[metric](sums)
    return score if score.ndim else float(score)


def _coco_bleu(summed: np.ndarray, order: int) -> np.ndarray:
    small, tiny = 1e-9, 1e-15  # pycocoevalcap's guards against division by 0
    test_length, reference_length = summed[..., 0], summed[..., 1]
    guess_n, correct_n = summed[..., 2 : 2 + order], summed[..., 6 : 6 + order]
    score = np.prod((correct_n + tiny) / (guess_n + small), axis=-1) ** (1.0 / order)
    ratio = (test_length + tiny) / (reference_length + small)
    return score * np.exp(np.minimum(0.0, 1.0 - 1.0 / ratio))


def _sacrebleu(summed: np.ndarray) -> np.ndarray:
    length, reference_length = summed[..., 0], summed[..., 1]
    correct_n, total_n = summed[..., 2:6], summed[..., 6:10]
    # `exp` smoothing: the k-th order without a match counts as 1 / 2^k matches.
    smoothed_n = np.where(correct_n > 0, correct_n, 0.5 ** np.cumsum(correct_n == 0, axis=-1))
    scorable = np.all(total_n > 0, axis=-1) & np.any(correct_n > 0, axis=-1)
    log_precision = np.log(smoothed_n / np.where(total_n > 0, total_n, 1.0)).mean(axis=-1)
    log_brevity = np.minimum(0.0, 1.0 - reference_length / np.where(length > 0, length, 1.0))
    return np.where(scorable, 100.0 * np.exp(log_precision + log_brevity), 0.0)


def _chrf2(summed: np.ndarray) -> np.ndarray:
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


def _ter(summed: np.ndarray) -> np.ndarray:
    edits, reference_length = summed[..., 0], summed[..., 1]
    has_reference = reference_length > 0
    rate = edits / np.where(has_reference, reference_length, 1.0)
    return 100.0 * np.where(has_reference, rate, (edits > 0).astype(np.float64))
