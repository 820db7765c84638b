"""A model's view of an image: crops of regions with their boxes (VL-T5) or a square of pixels (BLIP)."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_json

Box = tuple[float, float, float, float]


def grid_boxes(width: int, height: int, rows: int, columns: int) -> list[Box]:
    """Boxes (x1, y1, x2, y2 in pixels) of equal patches that cover the photo, row by row."""
    xs = [width * i / columns for i in range(columns + 1)]
    ys = [height * i / rows for i in range(rows + 1)]
    return [(xs[j], ys[i], xs[j + 1], ys[i + 1]) for i in range(rows) for j in range(columns)]


def crop_regions(
    image: Image.Image, boxes: list[Box], crop: int, max_regions: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (R, crop * crop * 3) uint8, boxes (R, 4) in [0, 1], mask (R,) bool; R = max_regions."""
    features_RF = np.zeros((max_regions, crop * crop * 3), np.uint8)
    boxes_R4 = np.zeros((max_regions, 4), np.float32)
    mask_R = np.arange(max_regions) < len(boxes)
    for row, box in enumerate(boxes):
        patch = image.resize((crop, crop), Image.Resampling.BILINEAR, box=box)
        features_RF[row] = np.asarray(patch).reshape(-1)
        boxes_R4[row] = np.array(box) / (image.width, image.height, image.width, image.height)
    return features_RF, boxes_R4, mask_R


def square_pixels(image: Image.Image, size: int) -> np.ndarray:
    """The whole image squashed to (3, size, size) uint8, as BLIP's preprocessing does."""
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(image).transpose(2, 0, 1)


def read_boxes(path: Path, max_regions: int) -> dict[str, list[Box]]:
    """boxes.json: {image id: [[x1, y1, x2, y2] in pixels, ...]}; UserError for a box that is none."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected an object {{image id: boxes}}; restore the file")
    for image_id, boxes in content.items():
        if not (image_id.isascii() and image_id.isdigit()):
            raise UserError(f"{path}: key {image_id!r} must be an image id, a whole number; fix it")
        if not isinstance(boxes, list) or not 0 < len(boxes) <= max_regions:
            raise UserError(
                f"{path}: image {image_id} needs a list of 1 to {max_regions} boxes (inputs.max_regions);"
                " change the key or the file"
            )
        for box in boxes:
            if not _is_box(box):
                raise UserError(f"{path}: image {image_id}: {box} is no box x1 < x2, y1 < y2; fix it")
    return {image_id: [tuple(box) for box in boxes] for image_id, boxes in content.items()}


def _is_box(box: Any) -> bool:
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(edge, int | float) for edge in box):
        return False
    return 0 <= box[0] < box[2] and 0 <= box[1] < box[3]
