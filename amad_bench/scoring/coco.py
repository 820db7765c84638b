"""The caption metrics of the COCO evaluation in Python, by pycocoevalcap 1.2 behind its PTB tokenizer."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import SupportsFloat

import numpy as np
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from amad_bench.scoring.java import JavaFailed
from amad_bench.scoring.measured import Corpora, Measured
from amad_bench.scoring.ptb import ptb_tokenize

Captions = Sequence[tuple[list[str], str]]  # (references, hypothesis) of each example, tokenised


@dataclass(frozen=True)
class _Bleu:
    """All four orders of a corpus: scores (4), (4, N), and the statistics that they share."""

    corpus_n: list[float]
    per_example_n: list[list[float]]
    statistics: list[list[float]]


def tokenised(corpora: Corpora) -> list[Captions] | str:
    """Every corpus as PTB tokens, from one start of Java; the reason where there are none."""
    blocks = []
    for rows in corpora.rows:
        blocks.append([caption for row in rows for caption in row.references])
        blocks.append([row.prediction for row in rows])
    try:
        tokens = iter(ptb_tokenize(*blocks))
    except JavaFailed as failure:
        return f"PTB tokenizer: {failure}"
    found: list[Captions] = []
    for rows in corpora.rows:
        flat, hypotheses = iter(next(tokens)), next(tokens)
        references = [[next(flat) for _ in row.references] for row in rows]
        found.append(list(zip(references, hypotheses, strict=True)))
    return found


def measure_cider(corpora: Corpora) -> list[Measured]:
    """In [0, 10]; the document frequencies are those of the corpus's references."""
    return _of_tokens(corpora, _cider)


def measure_rouge_l(corpora: Corpora) -> list[Measured]:
    return _of_tokens(corpora, lambda captions: _measured(*Rouge().compute_score(*_by_id(captions))))


def measure_bleu_1(corpora: Corpora) -> list[Measured]:
    return _bleu(corpora, 1)


def measure_bleu_2(corpora: Corpora) -> list[Measured]:
    return _bleu(corpora, 2)


def measure_bleu_3(corpora: Corpora) -> list[Measured]:
    return _bleu(corpora, 3)


def measure_bleu_4(corpora: Corpora) -> list[Measured]:
    return _bleu(corpora, 4)


def total_bleu_1(summed: np.ndarray) -> np.ndarray:
    return _total_bleu(summed, 1)


def total_bleu_2(summed: np.ndarray) -> np.ndarray:
    return _total_bleu(summed, 2)


def total_bleu_3(summed: np.ndarray) -> np.ndarray:
    return _total_bleu(summed, 3)


def total_bleu_4(summed: np.ndarray) -> np.ndarray:
    return _total_bleu(summed, 4)


def _of_tokens(corpora: Corpora, measured: Callable[[Captions], Measured]) -> list[Measured]:
    tokens = corpora.once(tokenised)
    if isinstance(tokens, str):
        return corpora.all_unavailable(tokens)
    return [measured(captions) for captions in tokens]


def _by_id(captions: Captions) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """References and hypotheses as pycocoevalcap takes them."""
    return (
        {number: references for number, (references, _) in enumerate(captions)},
        {number: [hypothesis] for number, (_, hypothesis) in enumerate(captions)},
    )


def _measured(corpus: SupportsFloat, per_example: Iterable[float]) -> Measured:
    return Measured(float(corpus), [float(value) for value in per_example])


def _cider(captions: Captions) -> Measured:
    if not any(reference for references, _ in captions for reference in references):
        return Measured(unavailable="no reference has a word")
    return _measured(*Cider().compute_score(*_by_id(captions)))


def _bleu(corpora: Corpora, order: int) -> list[Measured]:
    found = corpora.once(_all_bleu)
    if isinstance(found, str):
        return corpora.all_unavailable(found)
    return [
        Measured(float(bleu.corpus_n[order - 1]), bleu.per_example_n[order - 1], bleu.statistics)
        for bleu in found
    ]


def _all_bleu(corpora: Corpora) -> list[_Bleu] | str:
    tokens = corpora.once(tokenised)
    return tokens if isinstance(tokens, str) else [_bleu_of(captions) for captions in tokens]


def _bleu_of(captions: Captions) -> _Bleu:
    """Statistics: length of the hypothesis and of the closest reference, guesses 1..4, correct ones 1..4."""
    scorer = BleuScorer(n=4)
    for references, hypothesis in captions:
        scorer += (hypothesis, references)
    corpus_n, per_example_n = scorer.compute_score(option="closest", verbose=0)
    statistics = []
    for counts in scorer.ctest:
        length = counts["testlen"]
        closest = scorer._single_reflen(counts["reflen"], "closest", length)
        statistics.append([float(n) for n in (length, closest, *counts["guess"], *counts["correct"])])
    return _Bleu(corpus_n, [[float(value) for value in own] for own in per_example_n], statistics)


def _total_bleu(summed: np.ndarray, order: int) -> np.ndarray:
    small, tiny = 1e-9, 1e-15  # pycocoevalcap's guards against division by 0
    test_length, reference_length = summed[..., 0], summed[..., 1]
    guess_n, correct_n = summed[..., 2 : 2 + order], summed[..., 6 : 6 + order]
    score = np.prod((correct_n + tiny) / (guess_n + small), axis=-1) ** (1.0 / order)
    ratio = (test_length + tiny) / (reference_length + small)
    return score * np.exp(np.minimum(0.0, 1.0 - 1.0 / ratio))
