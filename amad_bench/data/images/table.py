"""The images of a task, by row; each kind of image input has a table of its own, which reads them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

Arrays = dict[str, np.ndarray]


class ImageTable(ABC):
    """M images; `ids` are their file names. M may be 0 (text without any photo).

    Goes to other processes without its arrays: they are opened there again.
    """

    ids: Sequence[str]

    @property
    def feature_size(self) -> int | None:
        """Numbers per region; None where the model sees the image as a whole."""
        return None

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, rows_B: np.ndarray, device: str | torch.device) -> dict[str, Tensor]:
        """A model's view of the images `rows_B`; row -1, no image, is all zeros behind an empty mask."""
        return self.to_tensors(self.read(np.asarray(rows_B)), device)

    @abstractmethod
    def read(self, rows_B: np.ndarray) -> Arrays:
        """The part of `batch` that costs time, fit for a worker process; bytes stay bytes."""

    @abstractmethod
    def to_tensors(self, arrays: Arrays, device: str | torch.device) -> dict[str, Tensor]:
        """The rest of `batch`: what `read` gave, on the device, as floats."""

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: _OnDisk(Path(str(value.filename))) if isinstance(value, np.memmap) else value
            for name, value in self.__dict__.items()
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, mapped(value.path) if isinstance(value, _OnDisk) else value)


@dataclass(frozen=True)
class _OnDisk:
    path: Path


def mapped(path: Path) -> np.ndarray:
    """A .npy file, memory-mapped."""
    array = np.load(path, mmap_mode="r")
    return array if array.size else np.load(path)  # an empty file cannot be mapped


def rows_of(table_M: np.ndarray, rows_B: np.ndarray) -> np.ndarray:
    """table_M[rows_B], zeros for rows -1."""
    if len(table_M) == 0:
        return np.zeros((len(rows_B), *table_M.shape[1:]), table_M.dtype)
    taken = np.asarray(table_M[np.maximum(rows_B, 0)])
    taken[rows_B < 0] = 0
    return taken
