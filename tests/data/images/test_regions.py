import json

import numpy as np
import pytest
from PIL import Image

from amad_bench.data.images.regions import crop_regions, grid_boxes, read_boxes, square_pixels
from amad_bench.runtime.errors import UserError

COLOURS = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]


def quarters() -> Image.Image:
    """16 x 8 pixels: red, green / blue, white quarters."""
    return Image.fromarray(np.array(COLOURS, np.uint8).reshape(2, 2, 3).repeat(4, axis=0).repeat(8, axis=1))


def test_grid_row_by_row():
    assert grid_boxes(8, 4, 2, 2) == [(0, 0, 4, 2), (4, 0, 8, 2), (0, 2, 4, 4), (4, 2, 8, 4)]


def test_a_grid_covers_a_photo_whose_size_does_not_divide():
    boxes = np.array(grid_boxes(148, 112, 3, 5))
    assert ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sum() == pytest.approx(148 * 112)
    assert boxes.max(axis=0).tolist()[2:] == [148, 112]


def test_crops_hold_their_region_and_padding_is_empty():
    features, boxes, mask = crop_regions(quarters(), grid_boxes(16, 8, 2, 2), crop=4, max_regions=5)
    assert features.shape == (5, 48)
    assert features.dtype == np.uint8
    inner = features.reshape(5, 4, 4, 3)[:, 1:3, 1:3]  # the filter reaches a pixel over the edge
    assert inner[:, 0, 0].tolist() == [*COLOURS, [0, 0, 0]]
    assert (inner == inner[:, :1, :1]).all()
    halves = [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1], [0, 0, 0, 0]]
    assert boxes.tolist() == halves
    assert mask.tolist() == [True] * 4 + [False]


def test_square_pixels():
    pixels = square_pixels(quarters(), 4)
    assert pixels.shape == (3, 4, 4)
    assert (pixels[:, 0, 0] == [255, 0, 0]).all()
    assert pixels[2, 3, 0] > 200
    same = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    assert np.array_equal(square_pixels(same, 4).transpose(1, 2, 0), np.asarray(same))


def test_boxes_file(tmp_path):
    (tmp_path / "boxes.json").write_text('{"3": [[0, 1.5, 2, 3]]}')
    assert read_boxes(tmp_path / "boxes.json", 2) == {"3": [(0, 1.5, 2, 3)]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "expected an object"),
        ({"3.png": [[0, 0, 1, 1]]}, "key '3.png' must be an image id, a whole number"),
        ({"3": []}, "image 3 needs a list of 1 to 2 boxes"),
        ({"3": [[0, 0, 1, 1]] * 3}, "image 3 needs a list of 1 to 2 boxes"),
        ({"3": [[2, 0, 1, 1]]}, r"image 3: \[2, 0, 1, 1\] is no box"),
        ({"3": [[0, 0, 1]]}, r"image 3: \[0, 0, 1\] is no box"),
        ({"3": [[0, 0, 1, "1"]]}, "image 3: .* is no box"),
    ],
)
def test_boxes_that_are_none(tmp_path, content, message):
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"boxes.json: {message}"):
        read_boxes(tmp_path / "boxes.json", 2)
