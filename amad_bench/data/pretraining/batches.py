"""Batches of the pre-training tasks: what is masked, mismatched or asked is drawn anew each time."""

from collections.abc import Callable, Sequence
from contextlib import closing
from copy import deepcopy
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from amad_bench.data.batch import PretrainingBatch
from amad_bench.data.placing import placed
from amad_bench.data.prefetch import Made, prefetched
from amad_bench.data.tasks.batches import BatchOrder, OrderState
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
) -> Made[PretrainingBatch]:
    """The next `steps` batches; order: of the instances of all tasks. Equal generators give equal batches.

    Lengths are those of the batch's longest text. One batch is made ahead where the device is no CPU (see
    `prefetched`): `order` and `generator` stand, whenever a batch is given, where making that one left them.
    """
    device = torch.device(device)
    own_order, own_generator = deepcopy((order, generator))  # together: they may be one generator

    def made_batches() -> Made[tuple[tuple[PretrainingBatch, OrderState, Any], list[Tensor]]]:
        for _ in range(steps):
            made = make(own_order.next(), own_generator, device)
            batch = PretrainingBatch(
                {name: placed(tensor, device) for name, tensor in made.items()},
                {name: tensor for name, tensor in made.items() if tensor.device.type == "cpu"},
            )
            yield (batch, own_order.state, own_generator.bit_generator.state), batch.tensors

    with closing(prefetched(made_batches(), device)) as ahead:
        for batch, order_state, generator_state in ahead:
            order.state, generator.bit_generator.state = order_state, generator_state
            yield batch


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
