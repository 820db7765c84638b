"""The examples of a data set's task: which reader finds them, and which of them are used."""

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path

from amad_bench.data.formats.records import Example, Reader, SplitSource
from amad_bench.data.scenes.files import write_scenes
from amad_bench.data.sources import official, readers
from amad_bench.plan.catalogue import DATASETS
from amad_bench.plan.run_config import DataSpec, UsedDataset, short_hash
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import atomic_directory
from amad_bench.runtime.paths import amad_data
from amad_bench.runtime.results import RESULTS

READERS: dict[str, Reader] = {
    "scenes": readers.scenes,
    "vqa_v2": official.vqa_v2,
    "coco": official.coco,
    "multi30k": readers.multi30k,
    "daquar": readers.daquar,
    "flickr8k": readers.flickr8k,
    "coco_mini": readers.coco_mini,
    "vqa_v2_subset": readers.vqa_v2_subset,
}


def dataset_folder(dataset: UsedDataset) -> Path:
    """Folder of a data set's generated and prepared files; a generated data set is written when absent."""
    folder = data_dir(dataset)
    if DATASETS[dataset.name].generated and not folder.is_dir():
        with atomic_directory(folder) as temporary:
            write_scenes(temporary, dataset.options)
    return folder


def prepared_folder(data: DataSpec) -> Path:
    """The folder in which prepared arrays are or will be."""
    name = f"{data.family}-{data.task}-{short_hash(data.prepared)}"
    return data_dir(data.dataset) / "prepared" / name


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
    root = folder if DATASETS[name].generated else amad_data()
    photos = tuple(root / base for base in DATASETS[name].photos(dataset.options))
    chosen = {}
    for split, source in READERS[name](root, task, dataset.options).items():
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
        chosen[split] = replace(source, examples=ordered[:size], photos=source.photos or photos)
    return chosen


def _shuffle_key(name: str, split: str, example: Example) -> bytes:
    """The order is a function of names alone: it is the same whatever else stands in the files."""
    return hashlib.sha256(f"{name}|{split}|{example.example_id}".encode()).digest()
