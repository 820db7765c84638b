import math

import numpy as np
import pytest

from amad_bench.data.scenes.scene import COLOURS, IMAGE_SIZE, REGIONS, SHAPES, TILE, _boundary, make_scene

SCENES = [make_scene(3, "train", index) for index in range(150)]


def test_a_scene_is_fixed_by_seed_split_and_index():
    scene, again = make_scene(7, "test", 41), make_scene(7, "test", 41)
    assert scene.objects == again.objects
    assert np.array_equal(scene.image_SS3, again.image_SS3)
    assert np.array_equal(scene.boxes_R4, again.boxes_R4)


@pytest.mark.parametrize("other", [(8, "test", 41), (7, "train", 41), (7, "test", 42)])
def test_another_seed_split_or_index_is_another_scene(other):
    assert not np.array_equal(make_scene(7, "test", 41).image_SS3, make_scene(*other).image_SS3)


def test_objects_differ_in_shape_or_colour_and_stand_in_reading_order():
    for scene in SCENES:
        kinds = {(item.shape, item.colour) for item in scene.objects}
        assert len(kinds) == len(scene.objects) in (2, 3, 4)
        tiles = [(item.row, item.column) for item in scene.objects]
        assert tiles == sorted(set(tiles))


def test_an_object_stays_in_its_tile():
    for scene in SCENES:
        for item in scene.objects:
            x1, y1, x2, y2 = item.box
            assert item.column * TILE <= x1 < x2 <= (item.column + 1) * TILE
            assert item.row * TILE <= y1 < y2 <= (item.row + 1) * TILE


def test_all_shapes_and_colours_occur():
    objects = [item for scene in SCENES for item in scene.objects]
    assert {item.shape for item in objects} == set(SHAPES)
    assert {item.colour for item in objects} == set(COLOURS)


def test_the_pixel_at_an_objects_centre_has_its_colour():
    looks_like = {
        "red": lambda r, g, b: r > 2 * g and r > 2 * b,
        "green": lambda r, g, b: g > 2 * r and g > 1.5 * b,
        "blue": lambda r, g, b: b > 2 * r and b > 1.8 * g,
        "yellow": lambda r, g, b: r > 2 * b and g > 2 * b,
        "white": lambda r, g, b: min(r, g, b) > 200,
        "black": lambda r, g, b: max(r, g, b) < 60,
    }
    for scene in SCENES:
        for item in scene.objects:
            y, x = int(item.y), int(item.x)
            colour = scene.image_SS3[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).mean(axis=0)
            assert looks_like[item.colour](*colour), (item, colour)


def test_the_drawn_area_is_that_of_the_shape():
    """Pixels unlike the background, against the areas of circle, square, diamond and five-pointed star."""
    inner, tenth = 0.42, math.sin(math.pi / 5)
    area = {"circle": math.pi, "square": 4 * 0.88**2, "diamond": 2.0, "star": 5 * inner * tenth}
    ratios = {shape: [] for shape in area}
    for scene in SCENES:
        for item in scene.objects:
            if item.size == "large" and item.colour in ("white", "black"):
                rows, columns = item.row * TILE, item.column * TILE
                tile = (
                    scene.image_SS3[rows : rows + TILE, columns : columns + TILE].astype(float).mean(axis=2)
                )
                background = np.median(np.concatenate([tile[0], tile[-1]]))
                covered = np.abs(tile - background) > np.abs(
                    tile - tile[int(item.y) % TILE, int(item.x) % TILE]
                )
                ratios[item.shape].append(covered.sum() / (area[item.shape] * item.radius**2))
    for shape, values in ratios.items():
        assert np.mean(values) == pytest.approx(1, abs=0.08), shape


@pytest.mark.parametrize(
    ("shape", "degrees", "distance"),
    [
        ("circle", 123, 1.0),
        ("square", 0, 0.88),
        ("square", 45, 0.88 * math.sqrt(2)),
        ("diamond", 90, 1.0),
        ("diamond", 45, math.sqrt(0.5)),
        ("star", -90, 1.0),  # a point upwards (y grows downwards)
        ("star", -90 + 72, 1.0),
        ("star", -90 + 36, 0.42),
    ],
)
def test_outlines(shape, degrees, distance):
    assert _boundary(shape, np.array([math.radians(degrees)]))[0] == pytest.approx(distance)


def test_unknown_shape():
    with pytest.raises(ValueError, match="hexagon"):
        _boundary("hexagon", np.zeros(1))


def overlap(one, two):
    width, height = min(one[2], two[2]) - max(one[0], two[0]), min(one[3], two[3]) - max(one[1], two[1])
    return max(width, 0) * max(height, 0)


def test_every_object_has_one_box_and_the_others_hold_little_of_it():
    matched_first = 0
    for scene in SCENES:
        boxes = scene.boxes_R4
        assert boxes.shape == (REGIONS, 4)
        assert boxes.min() >= 0
        assert boxes.max() <= IMAGE_SIZE
        assert (boxes[:, 2:] - boxes[:, :2] > 4).all()
        for item in scene.objects:
            x1, y1, x2, y2 = item.box
            shares = sorted(overlap(item.box, box) / ((x2 - x1) * (y2 - y1)) for box in boxes.tolist())
            assert shares[-1] > 0.6
            assert shares[-2] < 0.35  # a jittered true box of a neighbour, or a distractor
            matched_first += overlap(item.box, boxes[0].tolist()) == shares[-1] * (x2 - x1) * (y2 - y1)
    assert matched_first < 0.6 * len(SCENES)  # shuffled: the first box is often a distractor
