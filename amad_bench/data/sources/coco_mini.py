"""506 photos of COCO, some with captions, some with questions of VQA v2."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amad_bench.data.formats.captions import read_coco_captions
from amad_bench.data.formats.records import Example, SplitSource
from amad_bench.data.formats.vqa import read_vqa
from amad_bench.data.sources.splits import share_of


def read(files: Mapping[str, Path], task: str, _options: Mapping[str, Any]) -> dict[str, SplitSource]:
    """Splits made here: 60 % of the images train, 10 % validate, 30 % test, by a hash of the image id."""
    if task == "vqa":
        examples = read_vqa(files["questions"], files["annotations"], image_name)
    else:
        examples = read_coco_captions(files["captions"], captioned_only=True)
    splits: dict[str, list[Example]] = {"train": [], "validation": [], "test": []}
    for example in examples:
        share = share_of(f"coco_mini|split|{example.cluster_id}")
        splits["train" if share < 0.6 else "validation" if share < 0.7 else "test"].append(example)
    return {split: SplitSource(chosen) for split, chosen in splits.items()}


def image_name(image_id: int) -> str:
    """File name of a photo."""
    return f"{image_id:012d}.jpg"
