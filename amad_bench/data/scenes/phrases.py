"""Phrases for what the regions of a generated scene show."""

import numpy as np

from amad_bench.data.scenes.scene import IMAGE_SIZE, scene_objects, scene_of


def scene_phrases(name: str, boxes_R4: np.ndarray, *, seed: int) -> list[str]:
    """Colour and shape ("red star") of the object in each region of the image `name`; "" for none or several.

    An object is in the region whose box (of R, x1, y1, x2, y2 in [0, 1]) overlaps most with its own: largest
    intersection over union. No two objects of a scene have the same phrase.
    """
    found: list[list[str]] = [[] for _ in boxes_R4]
    for item in scene_objects(seed, *scene_of(name)):
        overlap_R = _overlap(np.array(item.box), boxes_R4 * IMAGE_SIZE)
        if overlap_R.max(initial=0.0) > 0:
            found[int(overlap_R.argmax())].append(f"{item.colour} {item.shape}")
    return [phrases[0] if len(phrases) == 1 else "" for phrases in found]


def _overlap(box_4: np.ndarray, boxes_R4: np.ndarray) -> np.ndarray:
    """Intersection over union of one box with each of several; (x1, y1, x2, y2)."""
    corners_R2 = np.maximum(box_4[:2], boxes_R4[:, :2]), np.minimum(box_4[2:], boxes_R4[:, 2:])
    shared_R = np.clip(corners_R2[1] - corners_R2[0], 0, None).prod(axis=1)
    areas_R = (boxes_R4[:, 2:] - boxes_R4[:, :2]).prod(axis=1)
    return shared_R / ((box_4[2:] - box_4[:2]).prod() + areas_R - shared_R)
