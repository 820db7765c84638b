"""The answers that each question may be taught, as arrays on disk: every different answer is encoded once."""

from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from amad_bench.data.images.table import mapped
from amad_bench.data.tasks.data import Answers
from amad_bench.data.text.arrays import Encoded
from amad_bench.data.text.tokenizer import Tokenizer

_NAMES = ("ids", "offsets", "indices", "scores")


class AnswerArrays:
    """Writer of what `load_answers` reads, from each question's answer -> score."""

    def __init__(self, tokenizer: Tokenizer, scores: Iterable[Mapping[str, float]]) -> None:
        numbers: dict[str, int] = {}
        self._offsets, self._indices, self._scores = array("q", [0]), array("i"), array("d")
        for by_answer in scores:
            for answer, score in by_answer.items():
                self._indices.append(numbers.setdefault(answer, len(numbers)))
                self._scores.append(score)
            self._offsets.append(len(self._indices))
        self._encoded = Encoded(tokenizer, numbers)

    @property
    def longest(self) -> int:
        """Ids of the longest answer, EOS included; 0 where no question has scores."""
        return self._encoded.longest

    def save(self, folder: Path, split: str, length: int) -> None:
        """Writes the arrays; nothing where no question has scores."""
        if not self.longest:
            return
        self._encoded.save(_path(folder, split, "ids"), length)
        np.save(_path(folder, split, "offsets"), np.frombuffer(self._offsets, np.int64))
        np.save(_path(folder, split, "indices"), np.frombuffer(self._indices, np.int32))
        np.save(_path(folder, split, "scores"), np.frombuffer(self._scores, np.float64))


def load_answers(folder: Path, split: str) -> Answers | None:
    """The answers of a split, memory-mapped; None where it has none."""
    if not _path(folder, split, "ids").is_file():
        return None
    return Answers(*(mapped(_path(folder, split, name)) for name in _NAMES))


def _path(folder: Path, split: str, name: str) -> Path:
    return folder / f"{split}_answer_{name}.npy"
