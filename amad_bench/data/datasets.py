"""Which files hold the examples of a data set's task, and which examples of each split are used."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from amad_bench.data.captions import read_coco_captions, read_flickr8k
from amad_bench.data.records import Example
from amad_bench.data.scenes import SPLITS
from amad_bench.data.scenes_files import image_name as scenes_image_name
from amad_bench.data.translation import read_flickr8k_join, read_pairs
from amad_bench.data.vqa import read_vqa
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.paths import amad_data


@dataclass(frozen=True)
class SplitSource:
    """Examples of one split and the tar with their photos."""

    examples: list[Example]
    archive: Path


Reader = Callable[[Path, str], dict[str, SplitSource]]


def read_examples(dataset: dict[str, Any], task: str, folder: Path) -> dict[str, SplitSource]:
    """split -> examples, in a fixed hashed order, cut to the data set's `limit`.

    dataset: the canonical config's record; folder: the generated files (unused for real data sets).
    UserError: an empty split, a limit above a split's examples, and whatever the files' readers find.
    """
    name = dataset["name"]
    sources = READERS[name](folder if name == "scenes" else amad_data(), task)
    limit = dataset.get("limit")
    chosen = {}
    for split, source in sources.items():
        if not source.examples:
            raise UserError(
                f"{name}: its {split} split has no {task} examples; check the files it is read from"
            )
        if limit and limit[split] > len(source.examples):
            raise UserError(
                f"limit.{split}: {limit[split]} asked for,"
                f" {name} has {len(source.examples)} {split} examples; lower it"
            )
        key = partial(_shuffle_key, name, split)
        ordered = sorted(source.examples, key=key)
        chosen[split] = replace(source, examples=ordered[: limit[split]] if limit else ordered)
    return chosen


def _shuffle_key(name: str, split: str, example: Example) -> bytes:
    """The order is a function of names alone: it is the same whatever else stands in the files."""
    return hashlib.sha256(f"{name}|{split}|{example.example_id}".encode()).digest()


def _scenes(folder: Path, task: str) -> dict[str, SplitSource]:
    return {
        split: SplitSource(_scenes_split(folder, task, split), folder / f"images_{split}.tar")
        for split in SPLITS
    }


def _scenes_split(folder: Path, task: str, split: str) -> list[Example]:
    if task == "vqa":
        return read_vqa(
            folder / f"questions_{split}.json", folder / f"annotations_{split}.json", scenes_image_name
        )
    if task == "captioning":
        return read_coco_captions(folder / f"captions_{split}.json")
    texts = folder / "translation"
    return read_pairs(texts / f"{split}.en", texts / f"{split}.de", texts / f"{split}_images.txt")


def _daquar(root: Path, task: str) -> dict[str, SplitSource]:
    """DAQUAR has no validation split: a tenth of its train images serve, chosen by a hash of the image id."""
    archive = root / "daquar" / "images_112.tar"
    official = {
        split: read_vqa(
            root / "daquar" / f"questions_{split}.json",
            root / "daquar" / f"annotations_{split}.json",
            "image{}.jpg".format,
        )
        for split in ("train", "test")
    }
    held_out = {
        image: hashlib.sha256(f"daquar|validation|{image}".encode()).digest()[0] < 26  # of 256: one tenth
        for image in {example.cluster_id for example in official["train"]}
    }
    return {
        "train": SplitSource([e for e in official["train"] if not held_out[e.cluster_id]], archive),
        "validation": SplitSource([e for e in official["train"] if held_out[e.cluster_id]], archive),
        "test": SplitSource(official["test"], archive),
    }


def _flickr8k(root: Path, task: str) -> dict[str, SplitSource]:
    folder = root / "flickr8k"
    lists = {"train": "trainImages", "validation": "devImages", "test": "testImages"}
    return {
        split: SplitSource(
            read_flickr8k(folder / "Flickr8k.token.txt", folder / f"Flickr_8k.{name}.txt"),
            folder / "images_112.tar",
        )
        for split, name in lists.items()
    }


def _multi30k(root: Path, task: str) -> dict[str, SplitSource]:
    folder = root / "multi30k"
    files = {  # our split -> Multi30K's file, and the Flickr8k splits whose photos it may use
        "train": ("train", ("train", "none")),
        "validation": ("val", ("dev",)),
        "test": ("test_2016_flickr", ("test",)),
    }
    return {
        split: SplitSource(
            read_pairs(
                folder / "raw" / f"{name}.en.gz",
                folder / "raw" / f"{name}.de.gz",
                folder / "image_splits" / f"{name}.txt",
                photos=read_flickr8k_join(
                    folder / "join_flickr8k" / f"{name}.tsv",
                    folder / "image_splits" / f"{name}.txt",
                    flickr8k_splits,
                ),
            ),
            root / "flickr8k" / "images_112.tar",
        )
        for split, (name, flickr8k_splits) in files.items()
    }


READERS: dict[str, Reader] = {
    "scenes": _scenes,
    "daquar": _daquar,
    "flickr8k": _flickr8k,
    "multi30k": _multi30k,
}
