"""Files that hold the examples of each data set but the large official ones, and their splits."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

from amad_bench.data.formats.captions import read_coco_captions, read_flickr8k
from amad_bench.data.formats.records import Example, SplitSource
from amad_bench.data.formats.sentences import read_flickr8k_join, read_pairs
from amad_bench.data.formats.vqa import read_vqa
from amad_bench.data.images.photos import Photos
from amad_bench.data.scenes.files import image_name as scenes_image_name
from amad_bench.data.scenes.scene import SPLITS


def scenes(folder: Path, task: str, _options: dict[str, Any]) -> dict[str, SplitSource]:
    """The generated data set in `folder`."""
    return {
        split: SplitSource(_scenes_split(folder, task, split), (folder / f"images_{split}",))
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


def daquar(root: Path, _task: str, _options: dict[str, Any]) -> dict[str, SplitSource]:
    """DAQUAR has no validation split: a tenth of its train images serve, chosen by a hash of the image id."""
    folder = root / "daquar"
    given = {
        split: read_vqa(
            folder / f"questions_{split}.json",
            folder / f"annotations_{split}.json",
            "image{}.jpg".format,
            annotators=1,
        )
        for split in ("train", "test")
    }
    return _with_validation(given, "daquar", 26 / 256)


def vqa_v2_subset(root: Path, _task: str, _options: dict[str, Any]) -> dict[str, SplitSource]:
    """51,023 questions of VQA v2; the few whose photo is in coco-mini have it, the others none.

    Its train and test split share 1,409 images. Validation: a tenth of the other train images, by a hash of
    the image id, so that what is selected on validation is not selected on test images.
    """
    folder = root / "vqa-v2-subset"
    with Photos([root / "coco-mini" / "images_112"]) as archive:
        names = frozenset(archive.names)

    def image_name(image_id: int) -> str | None:
        name = _coco_mini_name(image_id)
        return name if name in names else None

    given = {
        split: read_vqa(
            folder / f"questions_{split}.json.gz", folder / f"annotations_{split}.json.gz", image_name
        )
        for split in ("train", "test")
    }
    return _with_validation(given, "vqa_v2_subset", 0.1)


def coco_mini(root: Path, task: str, _options: dict[str, Any]) -> dict[str, SplitSource]:
    """Splits made here: 60 % of the images train, 10 % validate, 30 % test, by a hash of the image id."""
    folder = root / "coco-mini"
    if task == "vqa":
        examples = read_vqa(
            folder / "vqa_v2_questions.json", folder / "vqa_v2_annotations.json", _coco_mini_name
        )
    else:
        examples = read_coco_captions(folder / "captions.json", captioned_only=True)
    splits: dict[str, list[Example]] = {"train": [], "validation": [], "test": []}
    for example in examples:
        share = _share(f"coco_mini|split|{example.cluster_id}")
        splits["train" if share < 0.6 else "validation" if share < 0.7 else "test"].append(example)
    return {split: SplitSource(chosen) for split, chosen in splits.items()}


def _coco_mini_name(image_id: int) -> str:
    return f"{image_id:012d}.jpg"


def _share(text: str) -> float:
    """A number from [0, 1) that is a function of the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def _with_validation(given: dict[str, list[Example]], name: str, share: float) -> dict[str, SplitSource]:
    """A share of the train images that are no test images is held out, chosen by a hash of the image id."""
    train, test = ({example.cluster_id for example in given[split]} for split in ("train", "test"))
    held_out = {image for image in train - test if _share(f"{name}|validation|{image}") < share}
    return {
        "train": SplitSource([example for example in given["train"] if example.cluster_id not in held_out]),
        "validation": SplitSource([example for example in given["train"] if example.cluster_id in held_out]),
        "test": SplitSource(given["test"]),
    }


def flickr8k(root: Path, _task: str, _options: dict[str, Any]) -> dict[str, SplitSource]:
    """The official lists of 6,000, 1,000 and 1,000 images."""
    folder = root / "flickr8k"
    lists = {"train": "trainImages", "validation": "devImages", "test": "testImages"}
    return {
        split: SplitSource(read_flickr8k(folder / "Flickr8k.token.txt", folder / f"Flickr_8k.{name}.txt"))
        for split, name in lists.items()
    }


# Multi30K's file -> the Flickr8k splits whose photos it may use (see read_flickr8k_join)
_JOINED = {"train": ("train", "none"), "val": ("dev",), "test_2016_flickr": ("test",)}


def multi30k(root: Path, _task: str, options: dict[str, Any]) -> dict[str, SplitSource]:
    """Task 1, English to `language`; the first of `tests` is the split "test", the others keep their names.

    photos: "flickr8k" (of the lines that are joined to it; the later tests are not), "flickr30k" (all but
    those of test_2017_mscoco) or "none".
    """
    files = {"train": "train", "validation": "val"}
    files |= {name if number else "test": name for number, name in enumerate(options["tests"])}
    return {
        split: SplitSource(_multi30k_lines(root / "multi30k", name, options)) for split, name in files.items()
    }


def _multi30k_lines(folder: Path, name: str, options: dict[str, Any]) -> list[Example]:
    images_path = folder / "image_splits" / f"{name}.txt"
    read = partial(
        read_pairs,
        folder / "raw" / f"{name}.en.gz",
        folder / "raw" / f"{name}.{options['language']}.gz",
        images_path,
    )
    if options["photos"] == "flickr30k" and name != "test_2017_mscoco":
        return read()
    if options["photos"] == "flickr8k" and name in _JOINED:
        join_path = folder / "join_flickr8k" / f"{name}.tsv"
        return read(photos=read_flickr8k_join(join_path, images_path, _JOINED[name]))
    return read(photos={})
