"""Corpus scores as functions of summed sufficient statistics, vectorised for resampling."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

CIDER_IMAGES = 50  # below, CIDEr's document frequencies say little

# metric -> how many statistics an example has
STATISTICS = {
    # testlen, reflen, guess 1..4, correct 1..4
    **dict.fromkeys(("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4"), 10),
    # hypothesis length, reference length, correct 1..4, total 1..4
    **dict.fromkeys(("BLEU", "BLEU_lc"), 10),
    "chrF2": 18,  # (hypothesis n-grams, reference n-grams, matches) for n = 1..6
    "TER": 2,  # edits, reference length
    # Pairs are hypothesis, reference: words; function words; for each of 4 matchers the pair of content words
    # and that of function words; chunks (0 where a segment matches word for word); matched words
    "METEOR": 23,
}


def corpus_score(metric: str, summed: ArrayLike) -> np.ndarray | float:
    """The corpus score (...) of statistics (..., k) already summed over examples; a float for one sum.

    Bleu_n and METEOR (1.5, English) as pycocoevalcap 1.2 has them, in [0, 1]; BLEU, BLEU_lc (smoothing
    `exp`), chrF2 and TER as sacreBLEU 2 has them, in points (0..100, TER may exceed it). ValueError for
    another metric or another k.
    """
    if metric not in STATISTICS:
        raise ValueError(f"{metric!r} is no corpus metric; known: {', '.join(STATISTICS)}")
    sums = np.asarray(summed, dtype=np.float64)
    if sums.shape[-1:] != (STATISTICS[metric],):
        raise ValueError(f"{metric}: expected statistics (..., {STATISTICS[metric]}), got {sums.shape}")
    score = _SCORES[metric](sums)
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


def _meteor(summed: np.ndarray) -> np.ndarray:
    """METEOR 1.5 with its English parameters (Denkowski and Lavie 2014)."""
    alpha, beta, gamma, delta = 0.85, 0.2, 0.6, 0.75
    weight_m = np.array([1.0, 0.6, 0.8, 0.6])  # exact, stem, synonym, paraphrase
    words_s, function_s = summed[..., 0:2], summed[..., 2:4]  # s: hypothesis, reference
    matches = summed[..., 4:20].reshape(*summed.shape[:-1], 4, 2, 2)  # (..., m, content or function, s)
    content_s, functional_s = ((weight_m[:, None] * matches[..., kind, :]).sum(axis=-2) for kind in (0, 1))
    weighted_s = delta * (words_s - function_s) + (1.0 - delta) * function_s
    share_s = (delta * content_s + (1.0 - delta) * functional_s) / np.where(weighted_s > 0, weighted_s, 1.0)
    precision, recall = share_s[..., 0], share_s[..., 1]
    matched = (precision > 0) & (recall > 0)
    divisor = (1.0 - alpha) / np.where(matched, precision, 1.0) + alpha / np.where(matched, recall, 1.0)
    matched_words = summed[..., 21:23].mean(axis=-1)
    fragmentation = summed[..., 20] / np.where(matched_words > 0, matched_words, 1.0)
    return np.where(matched, (1.0 - gamma * fragmentation**beta) / divisor, 0.0)


_SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    **{f"Bleu_{order}": partial(_coco_bleu, order=order) for order in (1, 2, 3, 4)},
    "BLEU": _sacrebleu,
    "BLEU_lc": _sacrebleu,
    "chrF2": _chrf2,
    "TER": _ter,
    "METEOR": _meteor,
}


def warning(metric: str, examples: int) -> str:
    """Sentence that a reader of this metric on so few examples must know, or ""."""
    if metric == "CIDEr" and examples < CIDER_IMAGES:
        return (
            f"CIDEr on {examples} images: it weighs words by how rare they are among the test references, "
            f"which fewer than {CIDER_IMAGES} images cannot tell"
        )
    return ""
