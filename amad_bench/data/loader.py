"""Batches in a given order, their images read in this process or ahead of time in worker processes."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from amad_bench.data.batches import text_batch
from amad_bench.data.image_table import Arrays, ImageTable
from amad_bench.data.task_data import Split
from amad_bench.runtime.errors import UserError

Batches = Iterator[tuple[np.ndarray, dict[str, Tensor]]]


def batches(
    split: Split,
    images: ImageTable,
    order: Iterable[np.ndarray],
    device: str | torch.device,
    workers: int = 0,
    answer_generator: np.random.Generator | None = None,
) -> Batches:
    """(rows, batch) for each array of rows in `order`; the same whatever `workers` is.

    Workers read the images of the next few batches; answers are drawn in this process (see `text_batch`). No
    global random state is used or changed. UserError: whatever reading an image finds, also in a worker.
    """
    items = ((rows, np.asarray(split.image_rows_N[rows])) for rows in order)
    read = _Images(images)
    for rows, arrays in map(read.__getitem__, items) if workers == 0 else _in_workers(read, items, workers):
        if isinstance(arrays, UserError):
            raise arrays
        text = text_batch(split, rows, device, answer_generator)
        yield rows, text | images.to_tensors(arrays, device)


_Item = tuple[np.ndarray, np.ndarray]  # rows of the split, rows of the image table
_Read = tuple[np.ndarray, Arrays | UserError]


class _Images(Dataset[_Read]):
    """An item's index is what to read. A UserError is returned: torch would wrap it in many lines."""

    def __init__(self, images: ImageTable) -> None:
        self.images = images

    def __getitem__(self, item: _Item) -> _Read:  # pyright: ignore[reportIncompatibleMethodOverride]
        rows_B, image_rows_B = item
        try:
            return rows_B, self.images.read(image_rows_B)
        except UserError as error:
            return rows_B, error


def _in_workers(read: _Images, items: Iterable[_Item], workers: int) -> Iterator[_Read]:
    loader = DataLoader(
        read,
        batch_size=None,
        sampler=items,  # pyright: ignore[reportArgumentType] (any iterable of indices will do)
        num_workers=workers,
        collate_fn=_tensors,  # pyright: ignore[reportArgumentType] (without batches, a single item)
        generator=torch.Generator(),  # else torch draws the workers' seeds from the global one
    )
    for rows, arrays in loader:
        yield rows, arrays if isinstance(arrays, UserError) else {k: v.numpy() for k, v in arrays.items()}


def _tensors(read: _Read) -> tuple[np.ndarray, dict[str, Tensor] | UserError]:
    """As tensors, arrays come back from a worker through shared memory."""
    rows, arrays = read
    if isinstance(arrays, UserError):
        return rows, arrays
    return rows, {name: torch.from_numpy(array) for name, array in arrays.items()}
