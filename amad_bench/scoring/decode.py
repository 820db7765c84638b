"""Predictions of a model for a split: greedy or beam search, deterministic."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from amad_bench.data.batches import evaluation_order
from amad_bench.data.image_table import ImageTable
from amad_bench.data.loader import batches
from amad_bench.data.task_data import Split
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
    workers: int = 0,
) -> list[str]:
    """The predicted text of every example, in the split's order. `workers`: processes that read images.

    `decoding`: max_length (tokens of the target, its end included) and beams (1 = greedy). `image_rows` (N,)
    shows other images than the examples' own, for the blind control. The model, on `device`, is used in
    evaluation mode; its mode is restored.
    """
    if image_rows is not None:
        if len(image_rows) != len(split):
            raise ValueError(f"{len(image_rows)} image rows for {len(split)} examples")
        split = split.with_image_rows(image_rows)
    texts = [""] * len(split)
    with evaluating(model), torch.no_grad():
        for rows, tensors in batches(split, images, evaluation_order(split, batch), device, workers):
            inputs: dict[str, Any] = {name: tensor for name, tensor in tensors.items() if name != "labels"}
            ids_BL = model.generate(  # pyright: ignore[reportCallIssue]
                **inputs, max_new_tokens=decoding["max_length"], num_beams=decoding["beams"], do_sample=False
            )
            for row, ids in zip(rows.tolist(), ids_BL.tolist(), strict=True):
                texts[row] = tokenizer.decode(ids)
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
