"""Predictions of a model for a split: greedy or beam search, deterministic."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from amad_bench.data.batches import make_batch
from amad_bench.data.task_data import ImageTable, Split
from amad_bench.data.tokenizer import Tokenizer


def decode(
    model: nn.Module,
    split: Split,
    images: ImageTable,
    tokenizer: Tokenizer,
    decoding: Mapping[str, int],
    device: str | torch.device,
    image_rows: np.ndarray | None = None,
    batch: int = 256,
) -> list[str]:
    """The predicted text of every example, in the split's order.

    `decoding`: max_length (tokens of the target, its end included) and beams (1 = greedy). `image_rows` (N,)
    shows other images than the examples' own, for the blind control. The model, on `device`, is used in
    evaluation mode; its mode is restored.
    """
    if image_rows is not None:
        if len(image_rows) != len(split):
            raise ValueError(f"{len(image_rows)} image rows for {len(split)} examples")
        split = split.with_image_rows(image_rows)
    texts: list[str] = []
    with evaluating(model), torch.no_grad():
        for rows in row_batches(len(split), batch):
            inputs: dict[str, Any] = make_batch(split, images, rows, device)
            inputs.pop("labels", None)
            ids_BL = model.generate(  # pyright: ignore[reportCallIssue]
                **inputs, max_new_tokens=decoding["max_length"], num_beams=decoding["beams"], do_sample=False
            )
            texts.extend(tokenizer.decode(ids) for ids in ids_BL.tolist())
    return texts


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; afterwards each module is in the mode it was in before."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def row_batches(examples: int, batch: int) -> Iterator[np.ndarray]:
    """Row numbers 0..examples-1 in order, at most `batch` at a time."""
    for start in range(0, examples, batch):
        yield np.arange(start, min(start + batch, examples))
