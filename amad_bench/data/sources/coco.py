"""COCO captions as their owners publish them, on Karpathy's split of the images; Lin et al. 2014."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amad_bench.data.formats.captions import read_coco_captions
from amad_bench.data.formats.records import SplitSource
from amad_bench.data.sources.karpathy import IMAGES, by_split, read_karpathy
from amad_bench.plan.catalogue.datasets import COCO_PARTS


def read(files: Mapping[str, Path], _task: str, options: Mapping[str, Any]) -> dict[str, SplitSource]:
    """Official captions. options: "subset". Unless it is true, all sizes must be official.

    A subset leaves out, and counts, the images that Karpathy's file does not have; UserError when a split
    ends empty.
    """
    images = read_karpathy(files["split"], options["subset"])
    examples = {part: read_coco_captions(files[f"captions_{part}"]) for part in COCO_PARTS}
    sizes = None if options["subset"] else IMAGES
    return by_split(files["split"], examples, images, "captioned images", sizes)
