"""Token ids of all examples as arrays on disk, in the smallest type that holds them."""

from array import array
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from amad_bench.data.text.tokenizer import Tokenizer
from amad_bench.runtime.refusals import reserve

_CHUNK = 4096  # texts encoded at once


def new_array(path: Path, kind: np.typing.DTypeLike, shape: tuple[int, ...]) -> np.ndarray:
    """A memory-mapped .npy of zeros that has its space on the disk; OSError where there is too little.

    One without any number cannot be mapped.
    """
    if 0 in shape:
        np.save(path, np.zeros(shape, kind))
        return np.load(path)
    array = open_memmap(path, "w+", np.dtype(kind), shape)
    reserve(path, array.offset)
    return array


class Encoded:
    """Ids of many texts, one after the other: a few bytes per id, where a list of lists takes forty."""

    def __init__(
        self, tokenizer: Tokenizer, texts: Iterable[str], with_eos: bool = True, with_start: bool = False
    ) -> None:
        self._ids = array("H" if tokenizer.size <= 2**16 else "i")
        self._lengths = array("i")
        self.pad = tokenizer.pad
        start = [tokenizer.start] if with_start else []
        end = [tokenizer.eos] if with_eos else []
        texts = iter(texts)
        while chunk := list(islice(texts, _CHUNK)):
            for ids in tokenizer.encode_all(chunk):
                self._ids.extend(start + ids + end)
                self._lengths.append(len(start) + len(ids) + len(end))

    @property
    def longest(self) -> int:
        return max(self._lengths, default=0)

    def save(self, path: Path, length: int) -> None:
        """(N, length) as .npy, padded at the end."""
        kind, n = np.dtype(self._ids.typecode), len(self._lengths)
        padded_NL = new_array(path, kind, (n, length))
        ids, lengths_N = np.frombuffer(self._ids, kind), np.frombuffer(self._lengths, np.int32)
        starts_N = np.cumsum(lengths_N) - lengths_N
        for number in range(n):
            row = ids[starts_N[number] : starts_N[number] + lengths_N[number]]
            padded_NL[number, : len(row)] = row
            padded_NL[number, len(row) :] = self.pad
