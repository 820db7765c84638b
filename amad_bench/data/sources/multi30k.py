"""Multi30K, task 1, from English, as its owners publish it; Elliott et al. 2016, 2017."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from amad_bench.data.formats.records import Example, SplitSource
from amad_bench.data.formats.sentences import read_flickr8k_join, read_pairs

# Multi30K's file -> the Flickr8k splits whose photos it may use (see read_flickr8k_join)
_JOINED = {"train": ("train", "none"), "val": ("dev",), "test_2016_flickr": ("test",)}


def read(files: Mapping[str, Path], _task: str, options: Mapping[str, Any]) -> dict[str, SplitSource]:
    """The first of `tests` is the split "test", the others keep their names.

    photos: "flickr8k" (of the lines that are joined to it; the later tests are not), "flickr30k" (all but
    those of test_2017_mscoco) or "none".
    """
    names = {"train": "train", "validation": "val"}
    names |= {name if number else "test": name for number, name in enumerate(options["tests"])}
    return {split: SplitSource(_lines(files, name, options["photos"])) for split, name in names.items()}


def _lines(files: Mapping[str, Path], name: str, photos: str) -> list[Example]:
    images_path = files[f"images_{name}"]
    read_lines = partial(read_pairs, files[f"source_{name}"], files[f"target_{name}"], images_path)
    if photos == "flickr30k" and name != "test_2017_mscoco":
        return read_lines()
    if photos == "flickr8k" and name in _JOINED:
        return read_lines(photos=read_flickr8k_join(files[f"join_{name}"], images_path, _JOINED[name]))
    return read_lines(photos={})
