"""A new file of features in VL-T5's official layout; a full disk is an error there, as everywhere."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

if TYPE_CHECKING:
    from typing_extensions import Buffer  # of collections.abc from Python 3.12 on


class NewFeatures:
    """Writer of images' features, one group each."""

    def __init__(self, file: h5py.File, written: "_Written") -> None:
        self._file, self._written = file, written

    def add(self, key: str, features_RF: np.ndarray, boxes_R4: np.ndarray, height: int, width: int) -> None:
        """An image's regions; OSError where the disk had no space for what was added before."""
        self._written.check()
        group = self._file.create_group(key)
        group["features"], group["boxes"] = features_RF, boxes_R4
        group["img_h"], group["img_w"] = height, width


@contextmanager
def new_features(path: Path) -> Iterator[NewFeatures]:
    """Writes the file; OSError where it does not get onto the disk."""
    with _Written(path, "w+") as written:
        with h5py.File(written, "w") as file:
            yield NewFeatures(file, written)
        written.check()


class _Written(FileIO):
    """A file that remembers the first failure to write instead of raising it.

    HDF5 (1.14) ends the process, by a segmentation fault, when it closes a file that it could not write.
    """

    _failure: OSError | None = None

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def flush(self) -> None:
        """Nothing is held back. h5py 3.12 does not always find the method of the class above."""

    def truncate(self, size: int | None = None, /) -> int:
        size = self.tell() if size is None else size
        try:
            return super().truncate(size)
        except OSError as error:
            self._failure = self._failure or error
        return size

    def write(self, content: "Buffer", /) -> int:
        view = memoryview(content).cast("B")
        start, size = self.tell(), len(view)
        while len(view) and self._failure is None:
            try:
                done = super().write(view)
                if not done:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                view = view[done:]
            except OSError as error:
                self._failure = error
        self.seek(start + size)
        return size
