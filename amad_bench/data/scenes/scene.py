"""Generated scenes: small images of coloured shapes with region boxes, fixed by (seed, split, index)."""

import math
from dataclasses import dataclass

import numpy as np

from amad_bench.plan.catalogue import SPLITS

SHAPES = ("circle", "square", "diamond", "star")
COLOURS = ("red", "green", "blue", "yellow", "white", "black")
SIZES = ("small", "large")

IMAGE_SIZE = 48  # pixels
GRID = 3  # tiles a side
TILE = IMAGE_SIZE // GRID
REGIONS = 8

_RGB = {
    "red": (205, 40, 40),
    "green": (40, 155, 60),
    "blue": (45, 70, 205),
    "yellow": (225, 205, 50),
    "white": (238, 238, 238),
    "black": (22, 22, 22),
}
_RADIUS = {"small": 4.0, "large": 6.6}  # pixels
_CENTRE_JITTER = {"small": 2.5, "large": 0.9}  # pixels: an object never leaves its tile
_STAR_INNER = 0.42  # inner over outer radius
_COVERED_AT_MOST = 0.3  # a distractor box holds at most this share of any object
_ID_STEP = 10_000_000  # image ids of the three splits never meet


@dataclass(frozen=True)
class SceneObject:
    """One shape on the grid; centre and radius in pixels."""

    shape: str
    colour: str
    size: str
    row: int
    column: int
    x: float
    y: float
    radius: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Tight box x1, y1, x2, y2 in pixels."""
        half = self.radius * (0.88 if self.shape == "square" else 1.0)
        return self.x - half, self.y - half, self.x + half, self.y + half


@dataclass(frozen=True)
class Scene:
    """Objects in reading order (row by row), image (48, 48, 3) uint8, boxes (8, 4) in pixels."""

    objects: tuple[SceneObject, ...]
    image_SS3: np.ndarray
    boxes_R4: np.ndarray


def image_id_of(split: str, index: int) -> int:
    return (SPLITS.index(split) + 1) * _ID_STEP + index


def image_name(image_id: int) -> str:
    return f"{image_id:012d}.png"


def scene_of(name: str) -> tuple[str, int]:
    """The split and the number in it of the scene with this image name."""
    split, index = divmod(int(name.partition(".")[0]), _ID_STEP)
    return SPLITS[split - 1], index


def scene_generator(seed: int, split: str, index: int, part: int = 0) -> np.random.Generator:
    """The random stream of one image; `part` separates pixels (0), text (1) and sentences (2)."""
    return np.random.default_rng([seed, SPLITS.index(split), index, part])


def make_scene(seed: int, split: str, index: int) -> Scene:
    """Scene number `index` of a split: 2 or 3 objects, no two of equal shape and colour."""
    rng = scene_generator(seed, split, index)
    objects = _place(rng)
    return Scene(objects, _draw(objects, rng), _boxes(objects, rng))


def scene_objects(seed: int, split: str, index: int) -> tuple[SceneObject, ...]:
    """The objects of that scene, without drawing it."""
    return _place(scene_generator(seed, split, index))


def _place(rng: np.random.Generator) -> tuple[SceneObject, ...]:
    count = int(rng.integers(2, 4))
    tiles = sorted(int(tile) for tile in rng.choice(GRID * GRID, count, replace=False))
    kinds = rng.choice(len(SHAPES) * len(COLOURS), count, replace=False)
    sizes = rng.integers(0, len(SIZES), count)
    shifts = rng.uniform(-1, 1, (count, 3))
    objects = []
    for tile, kind, size_number, (dx, dy, dr) in zip(tiles, kinds, sizes, shifts.tolist(), strict=True):
        size = SIZES[size_number]
        row, column = divmod(tile, GRID)
        jitter = _CENTRE_JITTER[size]
        objects.append(
            SceneObject(
                shape=SHAPES[kind % len(SHAPES)],
                colour=COLOURS[kind // len(SHAPES)],
                size=size,
                row=row,
                column=column,
                x=(column + 0.5) * TILE + jitter * dx,
                y=(row + 0.5) * TILE + jitter * dy,
                radius=_RADIUS[size] + 0.4 * dr,
            )
        )
    return tuple(objects)


def _boundary(shape: str, angle: np.ndarray) -> np.ndarray:
    """Distance from the centre to the outline along `angle` (radians), for radius 1."""
    if shape == "circle":
        return np.ones_like(angle)
    cos, sin = np.abs(np.cos(angle)), np.abs(np.sin(angle))
    if shape == "square":
        return 0.88 / np.maximum(cos, sin)
    if shape == "diamond":
        return 1 / (cos + sin)
    if shape == "star":  # five points, one upwards
        sector = 2 * math.pi / 5
        from_tip = np.abs((angle + math.pi / 2 + sector / 2) % sector - sector / 2)
        half = sector / 2
        return _STAR_INNER * math.sin(half) / (_STAR_INNER * np.sin(half - from_tip) + np.sin(from_tip))
    raise ValueError(f"unknown shape {shape!r}")


def _draw(objects: tuple[SceneObject, ...], rng: np.random.Generator) -> np.ndarray:
    """A grey background with a slope of light, the shapes with soft edges, then noise over everything."""
    base, tint = rng.uniform(105, 150), rng.uniform(-8, 8, 3)
    slope = np.linspace(-1, 1, IMAGE_SIZE) * rng.uniform(-12, 12)
    image = (base + tint)[None, None, :] + slope[:, None, None] + np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3))
    for item in objects:
        left, top = item.column * TILE, item.row * TILE
        dx = np.arange(left, left + TILE) + 0.5 - item.x
        dy = (np.arange(top, top + TILE) + 0.5 - item.y)[:, None]
        outline = item.radius * _boundary(item.shape, np.arctan2(dy, dx))
        cover = np.clip(outline - np.hypot(dx, dy) + 0.5, 0, 1)[..., None]
        colour = np.array(_RGB[item.colour]) + rng.uniform(-14, 14, 3)
        patch = image[top : top + TILE, left : left + TILE]
        patch += cover * (colour - patch)
    image += rng.normal(0, 4, image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _boxes(objects: tuple[SceneObject, ...], rng: np.random.Generator) -> np.ndarray:
    """The true boxes, jittered, and distractors that hold background or a part of an object; shuffled."""
    true = [item.box for item in objects]
    boxes = (np.array(true) + rng.uniform(-1, 1, (len(true), 4))).tolist()
    while len(boxes) < REGIONS:
        for width, height, x, y in rng.uniform(0, 1, (16, 4)).tolist():
            width, height = 7 + 8 * width, 7 + 8 * height
            x, y = x * (IMAGE_SIZE - width), y * (IMAGE_SIZE - height)
            box = (x, y, x + width, y + height)
            if len(boxes) < REGIONS and all(_share_inside(item, box) <= _COVERED_AT_MOST for item in true):
                boxes.append(box)
    shuffled = np.clip(np.array(boxes), 0, IMAGE_SIZE)[rng.permutation(REGIONS)]
    return np.round(shuffled, 1)


def _share_inside(item: tuple[float, ...], box: tuple[float, ...]) -> float:
    """Share of the area of `item` that lies in `box`."""
    width = min(item[2], box[2]) - max(item[0], box[0])
    height = min(item[3], box[3]) - max(item[1], box[1])
    area = (item[2] - item[0]) * (item[3] - item[1])
    return max(width, 0.0) * max(height, 0.0) / area
