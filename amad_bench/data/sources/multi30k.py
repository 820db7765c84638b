"""Multi30K, task 1, from English, as its owners publish it; Elliott et al. 2016, 2017."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from amad_bench.data.formats.records import RESTORE, Example, SplitSource, read_lines
from amad_bench.data.formats.sentences import read_pairs
from amad_bench.runtime.errors import UserError

# Multi30K's file -> the Flickr8k splits whose photos it may use (see read_flickr8k_join)
_JOINED = {"train": ("train", "none"), "val": ("dev",), "test_2016_flickr": ("test",)}
_JOIN_HEADER = "line_0based\tmulti30k_image\tflickr8k_image\tflickr8k_split"


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
    read_them = partial(read_pairs, files[f"source_{name}"], files[f"target_{name}"], images_path)
    if photos == "flickr30k" and name != "test_2017_mscoco":
        return read_them()
    if photos == "flickr8k" and name in _JOINED:
        return read_them(photos=read_flickr8k_join(files[f"join_{name}"], images_path, _JOINED[name]))
    return read_them(photos={})


def read_flickr8k_join(path: Path, images_path: Path, splits: tuple[str, ...]) -> dict[int, str]:
    """0-based line -> Flickr8k file name, for the photos whose Flickr8k split is one of `splits`.

    Multi30K and Flickr8k split the same photos differently: 867 joined train lines are Flickr8k dev photos,
    871 Flickr8k test photos, and 173 joined test lines are Flickr8k train photos. A line keeps its photo only
    where both agree: no photo may serve training in one data set and evaluation in the other.
    UserError: no header, a broken row, another Multi30K image than the image list has in that line.
    """
    header, *rows = read_lines(path) or [""]
    images = read_lines(images_path)
    if header != _JOIN_HEADER:
        raise UserError(f"{path}: line 1: expected the header {_JOIN_HEADER!r}; {RESTORE}")
    photos: dict[int, str] = {}
    for number, line in enumerate(rows, start=2):
        fields = line.split("\t")
        if len(fields) != 4 or not fields[0].isdigit():
            raise UserError(
                f"{path}: line {number}: expected line, Multi30K image, Flickr8k image and split; {RESTORE}"
            )
        row = int(fields[0])
        if images[row : row + 1] != [fields[1]]:
            raise UserError(
                f"{path}: line {number}: {fields[1]} is not the image in line {row + 1} of {images_path};"
                f" {RESTORE}"
            )
        if fields[3] in splits:
            photos[row] = fields[2]
    return photos
