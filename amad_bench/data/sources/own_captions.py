"""One's own captions, in the layout of COCO."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from amad_bench.data.formats.captions import read_coco_captions
from amad_bench.data.formats.records import Example, SplitSource
from amad_bench.data.sources.own import read_splits


def read(files: Mapping[str, Path], _task: str, options: Mapping[str, Any]) -> dict[str, SplitSource]:
    """Images are called, and told apart, by their file names: ids of two files may have nothing in common."""

    def read_split(of_split: Mapping[str, Path]) -> list[Example]:
        images = read_coco_captions(of_split["captions"])
        return [replace(image, cluster_id=str(image.image)) for image in images]

    return read_splits(files, options, read_split)
