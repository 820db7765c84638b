"""Prepared examples and images of one task; large parts stay on disk until they are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from amad_bench.data.images.table import ImageTable
from amad_bench.data.text.tokenizer import Tokenizer

_CHUNK = 2**16  # rows of a memory-mapped array that are looked at together


@dataclass(frozen=True)
class Answers:
    """Answers that each of N questions may be taught; one is drawn in proportion to its score.

    ids_AL: the A different answers of all questions, with EOS, padded to the targets' length. Question n's
    are the rows indices[offsets_N1[n] : offsets_N1[n + 1]] of ids_AL, each with its score (.3, .6, .9 or 1);
    a question that no answer of the vocabulary fits has none, and is taught nothing in the official code.
    """

    ids_AL: np.ndarray
    offsets_N1: np.ndarray
    indices: np.ndarray
    scores: np.ndarray

    def first(self, n: int) -> "Answers":
        """The answers of the first n questions, in the same arrays."""
        return replace(self, offsets_N1=self.offsets_N1[: n + 1])


@dataclass(frozen=True)
class Split:
    """N examples; ids are whole numbers, padded with `pad`, all splits of a task to the same lengths.

    target_ids_NL end with EOS and have no BOS. image_rows_N are rows of the ImageTable, -1 = no image.
    references: what predictions are scored against (train: the target). Captions: the target is one of them.
    groups: what scores are reported by (a question's answer type). answer_scores: answer -> what it earns.
    answers: only of the training split of a model that is taught one of several answers (VL-T5's VQA).
    """

    example_ids: Sequence[str]
    cluster_ids: Sequence[str]
    source_ids_NL: np.ndarray
    target_ids_NL: np.ndarray
    image_rows_N: np.ndarray
    references: Sequence[list[str]]
    groups: Sequence[dict[str, str]]
    answer_scores: Sequence[dict[str, float]]
    pad: int
    answers: Answers | None = None

    def __len__(self) -> int:
        return len(self.example_ids)

    @cached_property
    def source_lengths_N(self) -> np.ndarray:
        """Ids of each source that are no padding."""
        return _lengths(self.source_ids_NL, self.pad)

    @cached_property
    def target_lengths_N(self) -> np.ndarray:
        return _lengths(self.target_ids_NL, self.pad)

    @cached_property
    def mostly_padding(self) -> bool:
        """Whether more than half of the ids are padding, as in real text with its few very long sentences."""
        size = self.source_ids_NL.size + self.target_ids_NL.size
        return bool(self.source_lengths_N.sum() + self.target_lengths_N.sum() < size / 2)

    def first(self, n: int) -> "Split":
        """The first n examples (all of them where there are fewer)."""
        return Split(
            self.example_ids[:n],
            self.cluster_ids[:n],
            self.source_ids_NL[:n],
            self.target_ids_NL[:n],
            self.image_rows_N[:n],
            self.references[:n],
            self.groups[:n],
            self.answer_scores[:n],
            self.pad,
            self.answers.first(n) if self.answers else None,
        )

    def with_image_rows(self, image_rows_N: np.ndarray) -> "Split":
        """The same examples with other images (the blind control)."""
        return replace(self, image_rows_N=image_rows_N)


def _lengths(ids_NL: np.ndarray, pad: int) -> np.ndarray:
    parts = [
        np.count_nonzero(ids_NL[start : start + _CHUNK] != pad, axis=1)
        for start in range(0, len(ids_NL), _CHUNK)
    ]
    return np.concatenate([np.zeros(0, np.int64), *parts])


@dataclass(frozen=True)
class TaskData:
    """Everything a run trains on and is scored with.

    more_tests: further test splits by name. facts, for status.json and tables: examples, examples with_image
    and photos (different images) by split, left_out and answers (see SplitSource), image_overlap of pairs of
    splits, `features` (what the model sees of an image), tokenizer_sha256.
    """

    train: Split
    validation: Split
    test: Split
    images: ImageTable
    tokenizer: Tokenizer
    more_tests: dict[str, Split]
    facts: dict[str, Any]
