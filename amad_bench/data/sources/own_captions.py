"""One's own captions, in the layout of COCO."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amad_bench.data.formats.captions import read_coco_captions
from amad_bench.data.formats.records import Example, SplitSource
from amad_bench.data.sources.own import read_splits


def read(files: Mapping[str, Path], _task: str, options: Mapping[str, Any]) -> dict[str, SplitSource]:
    """Images are called as the files of captions call them."""

    def read_split(of_split: Mapping[str, Path]) -> list[Example]:
        return read_coco_captions(of_split["captions"])

    return read_splits(files, options, read_split)
