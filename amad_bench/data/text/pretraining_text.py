"""Texts with hidden parts, for pre-training: spans (T5, VL-T5) or single words (BERT)."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from amad_bench.data.batch import IGNORED

T = TypeVar("T")

MASKED = 0.15  # of words or ids


def corrupt_spans(
    words: Sequence[T], sentinel: Callable[[int], T], generator: np.random.Generator, rate: float = MASKED
) -> tuple[list[T], list[T]]:
    """(source, target) of T5's span corruption, as VL-T5 does it (j-min/VL-T5, src/preprocess.py).

    max(int(rate * n), 1) of the n words are masked, neighbours as one span: in the source sentinel(i) stands
    for span i, in the target it comes before the span's words. There is no sentinel after the last span.
    ValueError without a word.
    """
    if not words:
        raise ValueError("corrupt_spans needs at least one word")
    count = max(int(rate * len(words)), 1)
    masked = set(generator.permutation(len(words))[:count].tolist())
    source: list[T] = []
    target: list[T] = []
    spans = 0
    for place, word in enumerate(words):
        if place not in masked:
            source.append(word)
            continue
        if place - 1 not in masked:
            source.append(sentinel(spans))
            target.append(sentinel(spans))
            spans += 1
        target.append(word)
    return source, target


def mask_ids(
    ids_BT: np.ndarray, special: Sequence[int], mask: int, vocabulary: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(input, labels) (B, T) of BERT's masked words: 15 % of the ids, at least one of each text.

    Of these 80 % become `mask`, 10 % an id drawn from the whole vocabulary, 10 % stay (Devlin et al. 2019,
    section 3.1). `special` ids (padding among them) are neither masked nor drawn; a text of nothing else
    keeps its ids. Labels of the other places are -100.
    """
    ordinary_BT = ~np.isin(ids_BT, special)
    draws_BT = np.where(ordinary_BT, generator.random(ids_BT.shape), 2.0)
    chosen_BT = (draws_BT <= np.maximum(MASKED, draws_BT.min(axis=1, keepdims=True))) & ordinary_BT
    labels_BT = np.where(chosen_BT, ids_BT, IGNORED)
    fate_BT = generator.random(ids_BT.shape)
    usable = np.setdiff1d(np.arange(vocabulary), special)
    drawn_BT = usable[generator.integers(len(usable), size=ids_BT.shape)]
    input_BT = np.where(chosen_BT & (fate_BT < 0.8), mask, ids_BT)
    return np.where(chosen_BT & (fate_BT >= 0.9), drawn_BT, input_BT), labels_BT
