"""Texts of examples in an Arrow file on disk: read by row, so that memory does not grow with their number."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import pyarrow as pa

T = TypeVar("T")
_CHUNK = 4096  # rows written, or turned into Python values, at once

TEXT = pa.string()
TEXTS = pa.list_(pa.string())
TEXT_OF = pa.map_(pa.string(), pa.string())
NUMBER_OF = pa.map_(pa.string(), pa.float64())


def write_columns(path: Path, types: Mapping[str, pa.DataType], rows: Iterable[tuple[Any, ...]]) -> None:
    """Writes one row after the other into an Arrow IPC file; dicts go into map columns."""
    schema = pa.schema(list(types.items()))
    rows = iter(rows)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        while chunk := list(islice(rows, _CHUNK)):
            arrays = [
                pa.array([list(v.items()) if isinstance(v, dict) else v for v in values], kind)
                for values, kind in zip(zip(*chunk, strict=True), types.values(), strict=True)
            ]
            writer.write_batch(pa.record_batch(arrays, schema=schema))


class Column(Sequence[T], Generic[T]):
    """One column of an Arrow file, memory-mapped; items become Python values when asked for.

    A slice is a view. Goes to other processes by its path.
    """

    def __init__(self, path: Path, name: str, rows: range | None = None) -> None:
        self._path, self._name = path, name
        self._rows = range(len(self._array)) if rows is None else rows

    @cached_property
    def _array(self) -> pa.ChunkedArray:
        with pa.memory_map(str(self._path)) as file:
            return pa.ipc.open_file(file).read_all().column(self._name)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> "Column[T]": ...
    def __getitem__(self, index: int | slice) -> "T | Column[T]":
        if isinstance(index, slice):
            return Column(self._path, self._name, self._rows[index])
        return _python_value(self._array.type)(self._array[self._rows[index]].as_py())

    def __iter__(self) -> Iterator[T]:
        convert, rows = _python_value(self._array.type), self._rows
        if rows.step != 1:
            yield from (self[i] for i in range(len(rows)))
            return
        for start in range(rows.start, rows.stop, _CHUNK):
            yield from map(convert, self._array.slice(start, min(_CHUNK, rows.stop - start)).to_pylist())

    def __reduce__(self) -> tuple[Any, ...]:
        return Column, (self._path, self._name, self._rows)


def _python_value(kind: pa.DataType) -> Callable[[Any], Any]:
    return dict if pa.types.is_map(kind) else lambda value: value
