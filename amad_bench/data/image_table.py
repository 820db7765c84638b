"""All images that a task uses, as one uint8 array on disk, shared by the tasks that use the same ones."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from amad_bench.data.datasets import SplitSource
from amad_bench.data.images import ImageArchive
from amad_bench.data.regions import Box, crop_regions, grid_boxes, read_boxes, square_pixels
from amad_bench.data.scenes_files import image_name
from amad_bench.data.task_data import ImageTable
from amad_bench.plan.catalogue import PREPARED_VERSION
from amad_bench.plan.run import short_hash
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import atomic_directory, read_json


def prepare_images(data_folder: Path, inputs: dict[str, Any], sources: dict[str, SplitSource]) -> Path:
    """Decode and crop the images that the examples name; the folder depends on their names and `inputs` only.

    UserError: an example's image that is not in the archive, cannot be decoded or has no boxes.
    """
    with ExitStack() as stack:
        archives: dict[Path, ImageArchive] = {}
        archive_of: dict[str, ImageArchive] = {}
        for source in sources.values():
            if source.archive not in archives:
                archives[source.archive] = stack.enter_context(ImageArchive(source.archive))
            archive = archives[source.archive]
            for example in source.examples:
                if example.image is None:
                    continue
                if example.image not in archive:
                    raise UserError(
                        f"{example.where}: its image {example.image} is not in {source.archive};"
                        " add the image or remove the record"
                    )
                archive_of[example.image] = archive
        names = sorted(archive_of)
        identity = short_hash([PREPARED_VERSION, inputs, names])
        folder = data_folder / "prepared" / f"images-{identity}"
        if not folder.is_dir():
            with atomic_directory(folder) as temporary:
                _write_images(temporary, data_folder, inputs, names, archive_of)
    return folder


def _write_images(
    folder: Path,
    data_folder: Path,
    inputs: dict[str, Any],
    names: list[str],
    archive_of: dict[str, ImageArchive],
) -> None:
    if inputs["kind"] == "pixels":
        size = inputs["size"]
        pixels_M3SS = np.zeros((len(names), 3, size, size), np.uint8)
        for row, name in enumerate(names):
            pixels_M3SS[row] = square_pixels(archive_of[name].open_image(name), size)
        np.save(folder / "pixels.npy", pixels_M3SS)
    else:
        crop, regions = inputs["crop"], inputs["max_regions"]
        features_MRF = np.zeros((len(names), regions, crop * crop * 3), np.uint8)
        boxes_MR4 = np.zeros((len(names), regions, 4), np.float32)
        mask_MR = np.zeros((len(names), regions), bool)
        from_file = _boxes_by_name(data_folder / "boxes.json", regions) if inputs["boxes"] == "file" else None
        for row, name in enumerate(names):
            image = archive_of[name].open_image(name)
            boxes = _boxes_of(name, image, inputs, from_file, data_folder)
            features_MRF[row], boxes_MR4[row], mask_MR[row] = crop_regions(image, boxes, crop, regions)
        np.save(folder / "features.npy", features_MRF)
        np.save(folder / "boxes.npy", boxes_MR4)
        np.save(folder / "region_mask.npy", mask_MR)
    (folder / "images.json").write_text(json.dumps({"kind": inputs["kind"], "ids": names}), encoding="utf-8")


def _boxes_by_name(path: Path, max_regions: int) -> dict[str, list[Box]]:
    return {image_name(int(image_id)): boxes for image_id, boxes in read_boxes(path, max_regions).items()}


def _boxes_of(
    name: str,
    image: Image.Image,
    inputs: dict[str, Any],
    from_file: dict[str, list[Box]] | None,
    data_folder: Path,
) -> list[Box]:
    if from_file is None:
        return grid_boxes(image.width, image.height, inputs["rows"], inputs["columns"])
    if name not in from_file:
        raise UserError(
            f"{data_folder / 'boxes.json'}: no boxes for image {name}; add them or remove the image"
        )
    boxes = from_file[name]
    if any(box[2] > image.width or box[3] > image.height for box in boxes):
        raise UserError(
            f"{data_folder / 'boxes.json'}: a box of image {name} leaves the image"
            f" ({image.width} x {image.height}); fix it"
        )
    return boxes


def load_images(folder: Path) -> ImageTable:
    """The table, its arrays memory-mapped."""
    content = read_json(folder / "images.json")
    if content["kind"] == "pixels":
        return ImageTable(content["ids"], "pixels", pixels_M3SS=_mapped(folder / "pixels.npy"))
    return ImageTable(
        content["ids"],
        "regions",
        features_MRF=_mapped(folder / "features.npy"),
        boxes_MR4=_mapped(folder / "boxes.npy"),
        region_mask_MR=_mapped(folder / "region_mask.npy"),
    )


def _mapped(path: Path) -> np.ndarray:
    array = np.load(path, mmap_mode="r")
    return array if array.size else np.load(path)  # an empty file cannot be mapped
