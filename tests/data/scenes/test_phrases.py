import numpy as np
import pytest

from amad_bench.data.images.boxes import grid_boxes
from amad_bench.data.scenes.phrases import scene_phrases
from amad_bench.data.scenes.scene import image_id_of, image_name, make_scene
from amad_bench.plan.catalogue import SPLITS

RGB = {"red": (205, 40, 40), "green": (40, 155, 60), "blue": (45, 70, 205), "yellow": (225, 205, 50)}
RGB |= {"white": (238, 238, 238), "black": (22, 22, 22)}


def of_scene(split: str, index: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    scene = make_scene(3, split, index)
    name = image_name(image_id_of(split, index))
    return scene_phrases(name, scene.boxes_R4 / 48, seed=3), scene.boxes_R4, scene.image_SS3


@pytest.mark.parametrize("split", SPLITS)
def test_the_picture_shows_in_a_region_what_its_phrase_says(split):
    """The pixels in the middle of a named box have the colour; around distractors nothing is named."""
    for index in range(60):
        phrases, boxes_R4, image_SS3 = of_scene(split, index)
        named = [phrase for phrase in phrases if phrase]
        assert len(phrases) == 8
        assert len(named) == len(set(named)) == len(make_scene(3, split, index).objects)
        for phrase, (x1, y1, x2, y2) in zip(phrases, boxes_R4, strict=True):
            if phrase:
                x, y = int((x1 + x2) / 2), int((y1 + y2) / 2)
                seen = image_SS3[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).mean(axis=0)
                nearest = min(RGB, key=lambda colour: np.abs(np.array(RGB[colour]) - seen).sum())
                assert nearest == phrase.split()[0]


def test_a_named_region_is_the_true_box_but_for_its_jitter():
    """The generator moves each edge of a true box by at most 1 px, and rounds it to .1."""
    for index in range(60):
        phrases, boxes_R4, _ = of_scene("train", index)
        objects = {f"{item.colour} {item.shape}": item for item in make_scene(3, "train", index).objects}
        for phrase, box in zip(phrases, boxes_R4, strict=True):
            if phrase:
                assert np.abs(box - np.clip(objects.pop(phrase).box, 0, 48)).max() <= 1.051
        assert not objects


def test_a_grid_region_with_two_objects_has_no_phrase():
    """In one box for the whole image nothing can be named; in the generator's own 3 x 3 tiles everything."""
    name = image_name(10_000_000)
    assert scene_phrases(name, np.array([[0, 0, 1, 1.0]]), seed=3) == [""]
    objects = make_scene(3, "train", 0).objects
    phrases = scene_phrases(name, np.array(grid_boxes(48, 48, 3, 3)) / 48, seed=3)
    expected = [""] * 9
    for item in objects:
        expected[3 * item.row + item.column] = f"{item.colour} {item.shape}"
    assert phrases == expected
