"""Image captions in the layout of COCO and of Flickr8k: one example per image, all captions as references.

An example's target is one of its captions, chosen by a hash of the image id: validation during training sees
one caption per image, and where captions have an order of wordings, all wordings must count. (Training itself
takes every caption, see `tasks/texts.py`.)
"""

import hashlib
from pathlib import Path

from amad_bench.data.formats.records import (
    RESTORE,
    Example,
    check_text,
    read_lines,
    read_records,
    take_id,
    take_text,
)
from amad_bench.runtime.errors import UserError


def read_coco_captions(path: Path, captioned_only: bool = False) -> list[Example]:
    """Images in file order; UserError: duplicate or unknown image, empty caption, image without caption.

    captioned_only: images without a caption are left out instead.
    """
    names: dict[int, str] = {}
    for record in read_records(path, "images"):
        image_id = take_id(record, "id", f"{path}: image number {len(names)}")
        if image_id in names:
            raise UserError(f"{path}: image id {image_id} is there twice; remove one of the two")
        names[image_id] = take_text(record, "file_name", f"{path}: image id {image_id}")
    captions: dict[int, list[str]] = {image_id: [] for image_id in names}
    for number, record in enumerate(read_records(path, "annotations")):
        where = f"{path}: caption id {record.get('id', f'(record {number})')}"
        image_id = take_id(record, "image_id", where)
        if image_id not in captions:
            raise UserError(f"{where}: image {image_id} is not among the file's images; {RESTORE}")
        captions[image_id].append(take_text(record, "caption", where))
    return [
        _example(str(image_id), names[image_id], captions[image_id], f"{path}: image id {image_id}")
        for image_id in names
        if captions[image_id] or not captioned_only
    ]


def read_flickr8k(tokens_path: Path, images_path: Path) -> list[Example]:
    """Images of one official split list; captions: lines of Flickr8k.token.txt, "name#n TAB caption"."""
    captions: dict[str, list[str]] = {}
    for number, line in enumerate(read_lines(tokens_path), start=1):
        where = f"{tokens_path}: line {number}"
        label, _, caption = line.partition("\t")
        name, mark, _ = label.rpartition("#")
        if not mark:
            raise UserError(f"{where}: expected 'image.jpg#n TAB caption'; {RESTORE}")
        captions.setdefault(name, []).append(check_text(caption, f"the caption of {label}", where))
    examples: dict[str, Example] = {}
    for number, line in enumerate(read_lines(images_path), start=1):
        where = f"{images_path}: line {number}"
        name = check_text(line, "the image name", where)
        if name in examples:
            raise UserError(f"{where}: {name} is there twice; remove one of the two lines")
        examples[name] = _example(name, name, captions.get(name, []), where)
    return list(examples.values())


def _example(image_id: str, name: str, captions: list[str], where: str) -> Example:
    if not captions:
        raise UserError(f"{where}: no caption for image {name}; add one or remove the image")
    chosen = int.from_bytes(hashlib.sha256(f"target|{image_id}".encode()).digest()) % len(captions)
    return Example(
        example_id=image_id,
        cluster_id=image_id,
        image=name,
        source="",
        target=captions[chosen],
        references=tuple(captions),
        where=where,
    )
