"""Batches of the pre-training tasks: what is masked, mismatched or asked is drawn anew each time."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from amad_bench.data.batch import PretrainingBatch
from amad_bench.data.tasks.batches import BatchOrder
from amad_bench.data.text.tokenizer import Tokenizer

Ids = list[int]
# makes the arguments of a pre-trainer's forward pass out of instances' numbers (B,)
BatchMaker = Callable[[np.ndarray, np.random.Generator, str | torch.device], dict[str, Tensor]]


def pretraining_batches(
    make: BatchMaker,
    order: BatchOrder,
    steps: int,
    generator: np.random.Generator,
    device: str | torch.device,
) -> Iterator[PretrainingBatch]:
    """The next `steps` batches; order: of the instances of all tasks. Equal generators give equal batches.

    Lengths are those of the batch's longest text.
    """
    for _ in range(steps):
        made = make(order.next(), generator, device)
        yield PretrainingBatch(
            {name: tensor.to(device) for name, tensor in made.items()},
            {name: tensor for name, tensor in made.items() if tensor.device.type == "cpu"},
        )


class Words:
    """Ids of texts, word by word: each word is encoded once, and white space is all one."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._ids = cache(tokenizer.encode)

    def each(self, text: str) -> list[Ids]:
        return [self._ids(word) for word in text.split()]

    def all(self, text: str) -> Ids:
        return [token for ids in self.each(text) for token in ids]


def text_arguments(ids_BL: np.ndarray, pad: int) -> dict[str, Tensor]:
    """input_ids and attention_mask (B, L)."""
    input_ids_BL = torch.from_numpy(ids_BL)
    return {"input_ids": input_ids_BL, "attention_mask": (input_ids_BL != pad).long()}


def padded(texts: Sequence[Ids], pad: int) -> np.ndarray:
    """One array (B, length of the longest) int64."""
    padded_BL = np.full((len(texts), max(map(len, texts))), pad, np.int64)
    for row, ids in enumerate(texts):
        padded_BL[row, : len(ids)] = ids
    return padded_BL
