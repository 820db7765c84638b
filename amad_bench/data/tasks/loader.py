"""Batches in a given order, their images read in this process or ahead of time in worker processes."""

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import torch

from amad_bench.data.batch import Batch
from amad_bench.data.images.table import Arrays, ImageTable
from amad_bench.data.tasks.batches import text_batch
from amad_bench.data.tasks.data import Split
from amad_bench.data.tasks.workers import in_workers


def batches(
    split: Split,
    images: ImageTable,
    order: Iterable[np.ndarray],
    device: str | torch.device,
    workers: int = 0,
    answer_generator: np.random.Generator | None = None,
    own: slice = slice(None),
) -> Iterator[tuple[np.ndarray, Batch]]:
    """Pairs (rows, batch), one for each array of rows in `order`; the same whatever `workers` is.

    `own`: of each array the rows that are given; their answers are drawn, and their lengths and masks made,
    with the rest's. Each worker reads the images of a batch ahead; answers are drawn in this process (see
    `text_batch`). No global random state is used or changed. UserError: whatever reading an image finds, or a
    dead worker.
    """
    items = ((rows, np.asarray(split.image_rows_N[rows[own]])) for rows in order)
    read = partial(_read, images)
    for rows, arrays in in_workers(read, items, workers) if workers else map(read, items):
        text = text_batch(split, rows, device, answer_generator, own)
        yield rows[own], text.with_images(images.to_tensors(arrays, device))


def _read(images: ImageTable, item: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, Arrays]:
    """`item`: rows of the split, which stay, and the rows of their images."""
    rows_B, image_rows_B = item
    return rows_B, images.read(image_rows_B)
