import json

import numpy as np
import pytest

from amad_bench.data.images.boxes import are_shares, grid_boxes, read_boxes
from amad_bench.runtime.errors import UserError


def test_grid_row_by_row():
    assert grid_boxes(8, 4, 2, 2) == [(0, 0, 4, 2), (4, 0, 8, 2), (0, 2, 4, 4), (4, 2, 8, 4)]


def test_a_grid_covers_a_photo_whose_size_does_not_divide():
    boxes = np.array(grid_boxes(148, 112, 3, 5))
    assert ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sum() == pytest.approx(148 * 112)
    assert boxes.max(axis=0).tolist()[2:] == [148, 112]


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


@pytest.mark.parametrize(
    ("boxes", "width", "height", "expected"),
    [
        ([[0.1, 0.2, 1.02, 0.9]], 640, 480, True),  # a detector's share that leaves the image
        ([[0.1, 0.2, 0.5, 0.9], [0, 0, 2, 2]], 640, 480, False),
        ([[0, 0, 1, 1]], 1, 1, False),
        ([[0, 0, 0.5, 1]], 1, 300, True),
    ],
)
def test_shares_are_boxes_in_the_first_two_pixels(boxes, width, height, expected):
    assert are_shares(boxes, width, height) is expected
