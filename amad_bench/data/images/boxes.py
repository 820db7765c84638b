"""Boxes of an image: x1, y1, x2, y2 in pixels, of a grid or from a data set's file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from amad_bench.data.formats.records import BoxesFile
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_json

Box = tuple[float, float, float, float]
BoxesOf = Callable[[str, Image.Image], list[Box]]  # of an image, by its name and the image itself


def grid_boxes(width: int, height: int, rows: int, columns: int) -> list[Box]:
    """Boxes of equal patches that cover the photo, row by row."""
    xs = [width * i / columns for i in range(columns + 1)]
    ys = [height * i / rows for i in range(rows + 1)]
    return [(xs[j], ys[i], xs[j + 1], ys[i + 1]) for i in range(rows) for j in range(columns)]


def boxes_of_grid(rows: int, columns: int) -> BoxesOf:
    return lambda _, image: grid_boxes(image.width, image.height, rows, columns)


def boxes_from_file(file: BoxesFile, max_regions: int) -> BoxesOf:
    """Those that the file has; UserError for an image without boxes, or with one that leaves it."""
    path, name_of = file.path, file.image_name
    by_name = {name_of(int(image_id)): boxes for image_id, boxes in read_boxes(path, max_regions).items()}

    def boxes_of(name: str, image: Image.Image) -> list[Box]:
        if name not in by_name:
            raise UserError(f"{path}: no boxes for image {name}; add them or remove the image")
        boxes = by_name[name]
        if are_shares(boxes, *image.size):
            raise UserError(
                f"{path}: no edge of the boxes of image {name} reaches 2: shares of it, not pixels; multiply"
                f" them by its size ({image.width} x {image.height})"
            )
        if any(box[2] > image.width or box[3] > image.height for box in boxes):
            raise UserError(
                f"{path}: a box of image {name} leaves the image ({image.width} x {image.height}); fix it"
            )
        return boxes

    return boxes_of


def are_shares(boxes: npt.ArrayLike, width: float, height: float) -> bool:
    """Whether boxes (R, 4) all lie in their image's first two pixels, as shares of it do and pixels never do.

    Two, since a detector's shares may leave the image by a little.
    """
    return max(width, height) > 2 and bool((np.asarray(boxes) < 2).all())


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
