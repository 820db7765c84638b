"""Parts of a teacher's outputs on disk: arrays with a row per example, memory-mapped by all that read them.

A part is a folder with a .npy file per array and `facts.json`, which says what they are of. It is complete
or absent: written beside its place and renamed onto it. What is found damaged, or of something else, is named
and set aside. Nothing is unpickled.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from amad_bench.runtime.files import atomic_directory, write_json_atomic
from amad_bench.runtime.results import ASIDE

FACTS = "facts.json"


class StoredPart(NamedTuple):
    """A part as it is read. each: by name, a row per example; shared: what all examples share; numbers: more
    facts."""

    each: dict[str, np.ndarray]
    shared: dict[str, np.ndarray]
    numbers: dict[str, float]


class _Damaged(Exception):
    """A part that cannot be used; str() says what is wrong, with the file's name."""


def read_part(folder: Path, of: Mapping[str, Any]) -> StoredPart | None:
    """The part in a folder; None where there is none, or where it is not complete or not one of `of`."""
    try:
        return _read(folder, of) if folder.is_dir() else None
    except _Damaged:
        return None


def set_damaged_aside(folder: Path, of: Mapping[str, Any]) -> None:
    """Moves a part that is not complete or not one of `of` beside its place, and names it on stderr.

    Only for who has the lock of the folder above: else another process may just have put a good one there.
    """
    if not folder.is_dir():
        return
    try:
        _read(folder, of)
    except _Damaged as damage:
        aside = folder.with_name(folder.name + ASIDE)
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(folder, aside)
        print(
            f"amad-bench: {damage}; set aside as {aside}, the teacher's outputs are computed again",
            file=sys.stderr,
            flush=True,
        )


def _read(folder: Path, of: Mapping[str, Any]) -> StoredPart:
    path = folder / FACTS
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        each, shared, numbers = (dict(facts[kind]) for kind in ("each", "shared", "numbers"))
        found = facts["of"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _Damaged(f"{path}: cannot be read ({type(error).__name__})") from None
    if found != dict(of):
        raise _Damaged(f"{path}: outputs of something else")
    return StoredPart(_arrays(folder, each), _arrays(folder, shared), numbers)


def _arrays(folder: Path, described: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Read-only maps of the arrays; described: the type and the shape of each."""
    arrays: dict[str, np.ndarray] = {}
    for name, description in described.items():
        path = folder / f"{name}.npy"
        try:
            # a plain view: indexing np.memmap itself is slower
            array = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError, EOFError) as error:
            raise _Damaged(f"{path}: truncated or no array ({error})") from None
        if [str(array.dtype), list(array.shape)] != description:
            raise _Damaged(f"{path}: {array.dtype} {array.shape} is not what {FACTS} says")
        arrays[name] = array
    return arrays


class PartWriter:
    """Writer of one part, example by example in their order: `add` a chunk at a time, then `finish`.

    Files are written from their beginning to their end, never mapped: a full disk is an OSError that names
    the place, where a mapped page without room would end the process.
    """

    def __init__(self, folder: Path, examples: int) -> None:
        self.folder, self.examples = folder, examples
        self._files: dict[str, BinaryIO] = {}
        self._opened: list[BinaryIO] = []
        self._described: dict[str, dict[str, Any]] = {"each": {}, "shared": {}}

    def add(self, name: str, rows: np.ndarray) -> None:
        """The next examples' rows of an array."""
        if name not in self._files:
            self._files[name] = self._begin("each", name, rows.dtype, (self.examples, *rows.shape[1:]))
        self._write(self._files[name], rows)

    def share(self, name: str, array: np.ndarray) -> None:
        """An array that all examples share."""
        self._files[name] = self._begin("shared", name, array.dtype, array.shape)
        self._write(self._files[name], array)

    def finish(self, of: Mapping[str, Any], numbers: Mapping[str, float]) -> None:
        """The end: all is on the disk, and what it is of."""
        for file in self._files.values():
            self._settle(file)
        write_json_atomic(self.folder / FACTS, {"of": dict(of), "numbers": dict(numbers), **self._described})

    def close(self) -> None:
        """Closes the files, whatever they hold."""
        for file in self._opened:
            file.close()

    def _begin(self, kind: str, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> BinaryIO:
        self._described[kind][name] = [str(dtype), list(shape)]
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        with self._naming():
            file = (self.folder / f"{name}.npy").open("wb", buffering=0)
            self._opened.append(file)
            np.lib.format.write_array_header_1_0(file, header)
        return file

    def _write(self, file: BinaryIO, rows: np.ndarray) -> None:
        with self._naming():
            view = memoryview(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
            while len(view):  # an unbuffered write may take only a part
                view = view[file.write(view) :]

    def _settle(self, file: BinaryIO) -> None:
        with self._naming():
            os.fsync(file.fileno())

    @contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # a file handle's own error names no file
            raise OSError(error.errno, error.strerror, str(self.folder.parent)) from None


@contextmanager
def written_part(folder: Path, examples: int) -> Iterator[PartWriter]:
    """A writer of the part that the folder becomes when the block succeeds; nothing is left when it fails."""
    with atomic_directory(folder) as path:
        writer = PartWriter(path, examples)
        try:
            yield writer
        finally:
            writer.close()
