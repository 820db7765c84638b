"""The examples of a data set's task: the module that reads them, and which of them are used."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from amad_bench.data.formats.records import BoxesFile, Example, SplitSource
from amad_bench.plan.catalogue import Dataset
from amad_bench.plan.run_config import DataSpec, UsedDataset
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import atomic_directory
from amad_bench.runtime.paths import amad_data
from amad_bench.runtime.results import RESULTS


class Reader(Protocol):
    """Module of a data set: it reads its files, which it gets by the roles that the record gives them.

    options: the data set's. `read` returns split -> its examples: train, validation, test and more tests.
    Where a split names no places of photos, they are looked for in all that the record has. `boxes` is asked
    of a data set whose record `has_boxes`. A generated data set's `write` makes the files of all tasks, and
    archives in the place of photos.
    """

    def read(
        self, files: Mapping[str, Path], task: str, options: Mapping[str, Any], /
    ) -> dict[str, SplitSource]: ...

    def boxes(self, files: Mapping[str, Path], /) -> BoxesFile: ...

    def write(self, files: Mapping[str, Path], options: Mapping[str, Any], /) -> None: ...


def reader_of(record: Dataset) -> Reader:
    """The module of a data set, found by its name."""
    module: Any = import_module(f"amad_bench.data.sources.{record.reader}")
    return module


def dataset_folder(dataset: UsedDataset) -> Path:
    """Folder of a data set's generated and prepared files; a generated data set is written when absent."""
    folder = data_dir(dataset)
    if dataset.record.generated and not folder.is_dir():
        with atomic_directory(folder) as temporary:
            write_dataset(dataset, temporary)
    return folder


def write_dataset(dataset: UsedDataset, folder: Path) -> None:
    """Writes all files of a generated data set into a folder."""
    files = _photos(dataset, folder)
    for task in dataset.record.tasks:
        files |= _files(dataset, task, folder)
    reader_of(dataset.record).write(files, dataset.options)


def photo_places(dataset: UsedDataset, folder: Path) -> list[Path]:
    """The places where a data set's photos are looked for; folder: the generated files."""
    return list(_photos(dataset, _root(dataset, folder)).values())


def _root(dataset: UsedDataset, folder: Path) -> Path:
    """The folder that its paths are relative to; folder: the generated files."""
    return folder if dataset.record.generated else amad_data()


def _files(dataset: UsedDataset, task: str, root: Path) -> dict[str, Path]:
    named = dataset.record.files(task, dataset.options)
    return {role: root / path for role, path in named.items()}


def _photos(dataset: UsedDataset, root: Path) -> dict[str, Path]:
    return {role: root / base for role, base in dataset.record.photos(dataset.options).items()}


def prepared_folder(data: DataSpec) -> Path:
    """The folder in which prepared arrays are or will be."""
    return data_dir(data.dataset) / "prepared" / data.prepared_name


def data_dir(dataset: UsedDataset) -> Path:
    """The folder of a data set's generated and prepared files; ValueError where its hash is not known."""
    if dataset.hash is None:
        raise ValueError(f"{dataset.name}: a planned data set without a hash has no folder")
    return RESULTS.dataset(dataset.name, dataset.hash)


def read_examples(dataset: UsedDataset, task: str, folder: Path) -> dict[str, SplitSource]:
    """split -> examples, in a fixed hashed order, cut to the data set's `limit`.

    limit.test is for every test; one of several that has fewer examples is used whole.

    dataset: the canonical config's record; folder: the generated files (unused for real data sets).
    UserError: an empty split, a limit above a split's examples, and whatever the files' readers find.
    """
    name, limit = dataset.name, dict(dataset.limit or {})
    root = _root(dataset, folder)
    files, photos = _files(dataset, task, root), _photos(dataset, root)
    places, boxes = tuple(photos.values()), true_boxes(dataset, task, folder)
    chosen = {}
    for split, source in reader_of(dataset.record).read(files | photos, task, dataset.options).items():
        if not source.examples:
            raise UserError(
                f"{name}: its {split} split has no {task} examples; check the files it is read from"
            )
        size = len(source.examples)
        if limit:
            if limit.get(split, 0) > size:
                raise UserError(
                    f"limit.{split}: {limit[split]} asked for, {name} has {size} {split} examples; lower it"
                )
            size = min(size, limit.get(split, limit["test"]))
        ordered = sorted(source.examples, key=partial(_shuffle_key, name, split))
        chosen[split] = replace(source, examples=ordered[:size], photos=source.photos or places, boxes=boxes)
    return chosen


def true_boxes(dataset: UsedDataset, task: str, folder: Path) -> BoxesFile | None:
    """The boxes that a data set comes with, if any; folder: the generated files."""
    if not dataset.record.has_boxes:
        return None
    return reader_of(dataset.record).boxes(_files(dataset, task, _root(dataset, folder)))


def _shuffle_key(name: str, split: str, example: Example) -> bytes:
    """The order is a function of names alone: it is the same whatever else stands in the files."""
    return hashlib.sha256(f"{name}|{split}|{example.example_id}".encode()).digest()
