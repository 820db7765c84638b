"""Batches in a given order, made ahead: images by worker processes, all of them by another thread."""

from collections.abc import Iterable
from contextlib import ExitStack, closing
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch

from amad_bench.data.batch import Batch
from amad_bench.data.images.table import Arrays, ImageTable
from amad_bench.data.prefetch import Made, prefetched
from amad_bench.data.tasks.batches import text_batch
from amad_bench.data.tasks.data import Split
from amad_bench.data.tasks.workers import Workers

_Read = tuple[np.ndarray, Arrays]


def batches(
    split: Split,
    images: ImageTable,
    order: Iterable[np.ndarray],
    device: str | torch.device,
    workers: int = 0,
    answer_generator: np.random.Generator | None = None,
    own: slice = slice(None),
) -> Made[tuple[np.ndarray, Batch]]:
    """Pairs (rows, batch), one for each array of rows in `order`; the same whatever `workers` is.

    `own`: of each array the rows that are given; their answers are drawn, and their lengths and masks made,
    with the rest's. Each worker reads the images of a batch ahead; the rest is made in this process (see
    `text_batch`), one batch ahead where the device is no CPU (see `prefetched`). `answer_generator` stands,
    whenever a batch is given, where drawing that batch's answers left it, whatever was drawn ahead. No global
    random state is used or changed. UserError: whatever reading an image finds, or a dead worker.
    """
    device = torch.device(device)
    items = ((rows, np.asarray(split.image_rows_N[rows[own]])) for rows in order)
    read = partial(_read, images)
    with ExitStack() as stack:
        if workers:  # started by this thread: a process that another one forks may inherit what it was amid
            processes = stack.enter_context(Workers(read, workers))
            found, release = processes.results(items), processes.kill
        else:
            found, release = map(read, items), _nothing
        generator = deepcopy(answer_generator)

        def made() -> Made[tuple[tuple[np.ndarray, Batch, Any], list[torch.Tensor]]]:
            for rows, arrays in found:
                text = text_batch(split, rows, device, generator, own)
                batch = text.with_images(images.to_tensors(arrays, device))
                state = None if generator is None else generator.bit_generator.state
                yield (rows[own], batch, state), batch.tensors

        ahead = stack.enter_context(closing(prefetched(made(), device, release)))
        for rows, batch, state in ahead:
            if answer_generator is not None:
                answer_generator.bit_generator.state = state
            yield rows, batch


def _nothing() -> None:
    pass


def _read(images: ImageTable, item: tuple[np.ndarray, np.ndarray]) -> _Read:
    """`item`: rows of the split, which stay, and the rows of their images."""
    rows_B, image_rows_B = item
    return rows_B, images.read(image_rows_B)
