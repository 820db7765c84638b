"""Karpathy's split of COCO's 2014 images, used for captions and by VL-T5 for VQA v2."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from amad_bench.data.formats.records import RESTORE, Example, SplitSource, records_by_id, take_text
from amad_bench.plan.catalogue.datasets import COCO_PARTS
from amad_bench.runtime.errors import UserError, did_you_mean

IMAGES = {"train": 113_287, "validation": 5_000, "test": 5_000}
_SPLITS = {
    "train": "train",
    "restval": "train",
    "val": "validation",
    "test": "test",
}  # restval: rest of val2014


class KarpathyImage(NamedTuple):
    """An image's split, "train" (with restval), "validation" or "test", and its file name."""

    split: str
    name: str


def read_karpathy(path: Path, subset: bool) -> dict[int, KarpathyImage]:
    """COCO id -> image. UserError: an image twice, an unknown split, another file name than COCO's.

    Also other sizes than the official ones, unless only a `subset` of the data is there.
    """
    images: dict[int, KarpathyImage] = {}
    once = f"an image belongs to one split, {RESTORE}"
    for image_id, where, record in records_by_id(path, "images", "cocoid", once, "image number"):
        folder, split, name = (take_text(record, key, where) for key in ("filepath", "split", "filename"))
        if split not in _SPLITS:
            raise UserError(
                f"{where}: split must be one of {', '.join(_SPLITS)}, found {split!r};"
                f" {RESTORE}.{did_you_mean(split, _SPLITS)}"
            )
        expected = [coco_name(part, image_id) for part in COCO_PARTS]
        if folder not in COCO_PARTS or name != coco_name(folder, image_id):
            raise UserError(
                f"{where}: its file must be train2014/{expected[0]} or val2014/{expected[1]},"
                f" found {folder}/{name}; {RESTORE}"
            )
        images[image_id] = KarpathyImage(_SPLITS[split], name)
    if not subset:
        check_sizes(path, "images", Counter(image.split for image in images.values()), IMAGES)
    return images


def coco_name(part: str, image_id: int) -> str:
    """An image's file name in COCO's train2014 or val2014."""
    return f"COCO_{part}_{image_id:012d}.jpg"


def check_sizes(path: Path, what: str, found: dict[str, int], official: dict[str, int]) -> None:
    """UserError unless every part has its official size."""
    for part, size in official.items():
        if found.get(part, 0) != size:
            raise UserError(
                f"{path}: {found.get(part, 0)} {part} {what}, officially {size}; {RESTORE},"
                " or set the data set's option subset: true to try a part of the data"
            )


def by_split(
    split_path: Path,
    examples: dict[str, list[Example]],
    images: dict[int, KarpathyImage],
    what: str,
    official: dict[str, int] | None,
) -> dict[str, SplitSource]:
    """The examples of each part by the split of their image, as split_path has it.

    what: they are, for messages; official: their numbers, None for a subset, which leaves out and counts
    those on other images. UserError: an id in both parts, an unknown image, a split that ends empty.
    """
    splits: dict[str, list[Example]] = {split: [] for split in IMAGES}
    seen: set[str] = set()
    left_out: Counter[str] = Counter()
    for part, example in ((part, example) for part, of_part in examples.items() for example in of_part):
        if example.example_id in seen:
            raise UserError(f"{example.where}: the other year's file has that id too; {RESTORE}")
        seen.add(example.example_id)
        image = images.get(int(example.cluster_id))
        if image is None and official is None:
            left_out[part] += 1
        elif image is None or image.name != example.image:
            raise UserError(f"{example.where}: its image {example.image} is not in {split_path}; {RESTORE}")
        else:
            splits[image.split].append(example)
    for split, chosen in splits.items():
        if not chosen:
            raise UserError(
                f"{split_path}: no {split} image has {what}; {len(seen)} {what} were read,"
                f" {left_out.total()} of them on images that are not in it: bring files that belong together"
            )
    if official is not None:
        check_sizes(split_path, what, {split: len(chosen) for split, chosen in splits.items()}, official)
    return {split: SplitSource(chosen, left_out=dict(left_out)) for split, chosen in splits.items()}
