"""Flickr8k as its owners publish it; Hodosh et al. 2013."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amad_bench.data.formats.captions import read_flickr8k
from amad_bench.data.formats.records import SplitSource
from amad_bench.plan.catalogue import SPLITS


def read(files: Mapping[str, Path], _task: str, _options: Mapping[str, Any]) -> dict[str, SplitSource]:
    """The official lists of 6,000, 1,000 and 1,000 images."""
    return {
        split: SplitSource(read_flickr8k(files["captions"], files[f"images_{split}"])) for split in SPLITS
    }
