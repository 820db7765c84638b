"""Questions and captions about a scene; every answer follows from the picture alone."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from amad_bench.data.scenes.scene import COLOURS, SHAPES, SIZES, SceneObject

QUESTIONS_PER_IMAGE = 4
_ATTRIBUTES = {"size": SIZES, "colour": COLOURS, "shape": SHAPES}
_ENGLISH = {"size": "size", "colour": "color", "shape": "shape"}
_NUMBER_WORDS = {2: "two", 3: "three"}
# Two questions of an image have fixed types, the others are drawn. Counting and existence stay rare: their
# answers can be guessed, and "yes" must stay far below 20 % of all answers.
_FIXED_TYPES = ("attribute", "relation")
_DRAWN_TYPES = {"attribute": 0.30, "counting": 0.30, "existence": 0.25, "relation": 0.15}

_EXISTENCE_PARTS = (("colour",), ("shape",), ("colour", "shape"), ("size", "shape"))

Objects = tuple[SceneObject, ...]


@dataclass(frozen=True)
class SceneQuestion:
    """Question about a scene; `kind` is attribute, counting, existence or relation."""

    kind: str
    question: str
    answer: str


def make_questions(objects: Objects, rng: np.random.Generator) -> list[SceneQuestion]:
    """Four different questions about one scene."""
    types, shares = list(_DRAWN_TYPES), list(_DRAWN_TYPES.values())
    drawn = [types[i] for i in rng.choice(len(types), QUESTIONS_PER_IMAGE - len(_FIXED_TYPES), p=shares)]
    questions: list[SceneQuestion] = []
    for kind in [*_FIXED_TYPES, *drawn]:
        questions.append(_draw_question(kind, objects, rng, {asked.question for asked in questions}))
    return questions


def _draw_question(kind: str, objects: Objects, rng: np.random.Generator, taken: set[str]) -> SceneQuestion:
    """A question of the kind, or of another one where the scene allows none of it (no clear left, say)."""
    for attempt in range(200):
        if attempt >= 20:
            kind = _pick(rng, list(_MAKERS))
        found = _MAKERS[kind](objects, rng)
        if found is not None and found[0] not in taken:
            return SceneQuestion(kind, *found)
    raise RuntimeError("a scene without four different questions")  # there are always dozens


def _attribute(objects: Objects, rng: np.random.Generator) -> tuple[str, str] | None:
    asked = ("colour", "shape", "size")[rng.choice(3, p=(0.45, 0.35, 0.2))]
    item = _pick(rng, objects)
    name = _unique_name(item, objects, rng, without=asked)
    return None if name is None else (f"what {_ENGLISH[asked]} is the {name}?", getattr(item, asked))


def _counting(objects: Objects, rng: np.random.Generator) -> tuple[str, str]:
    counted = ("colour", "shape", "size", "all")[rng.choice(4, p=(0.25, 0.35, 0.3, 0.1))]
    if counted == "all":
        return "how many objects are there?", str(len(objects))
    present = [getattr(item, counted) for item in objects]
    absent = [value for value in _ATTRIBUTES[counted] if value not in present]
    value = _pick(rng, absent) if absent and rng.random() < 0.25 else _pick(rng, sorted(set(present)))
    noun = f"{value}s" if counted == "shape" else f"{value} objects"
    return f"how many {noun} are there?", str(present.count(value))


def _existence(objects: Objects, rng: np.random.Generator) -> tuple[str, str]:
    """Half yes, half no; a "no" differs from an object that is there in one attribute."""
    parts = _EXISTENCE_PARTS[int(rng.integers(len(_EXISTENCE_PARTS)))]
    shown = sorted({tuple(getattr(item, part) for part in parts) for item in objects})
    values, answer = _pick(rng, shown), "yes"
    if rng.random() < 0.5:
        place = int(rng.integers(len(parts)))
        changed = [(*values[:place], value, *values[place + 1 :]) for value in _ATTRIBUTES[parts[place]]]
        absent = [candidate for candidate in changed if candidate not in shown]
        if absent:
            values, answer = _pick(rng, absent), "no"
    noun = "" if "shape" in parts else " object"
    return f"is there a {' '.join(values)}{noun}?", answer


def _relation(objects: Objects, rng: np.random.Generator) -> tuple[str, str] | None:
    """Question about a side where one object lies, and none in the reference's row or column; else None."""
    side = _pick(rng, list(_SIDES))
    axis, sign = _SIDES[side]
    reference = _pick(rng, objects)
    offsets = [sign * (getattr(item, axis) - getattr(reference, axis)) for item in objects]
    if sum(offset > 0 for offset in offsets) != 1 or offsets.count(0) > 1:
        return None
    answer = objects[next(i for i, offset in enumerate(offsets) if offset > 0)]
    name = _unique_name(reference, objects, rng)
    if name is None:
        return None
    if rng.random() < 0.5:
        return f"what is {side} the {name}?", answer.shape
    return f"what color is the object {side} the {name}?", answer.colour


_SIDES = {"left of": ("column", -1), "right of": ("column", 1), "above": ("row", -1), "below": ("row", 1)}
_MAKERS: dict[str, Callable[[Objects, np.random.Generator], tuple[str, str] | None]] = {
    "attribute": _attribute,
    "counting": _counting,
    "existence": _existence,
    "relation": _relation,
}


def _unique_name(
    item: SceneObject, objects: Objects, rng: np.random.Generator, without: str | None = None
) -> str | None:
    """A shortest description that fits this object only ("red object", "small circle"), or None."""
    usable = [part for part in _ATTRIBUTES if part != without]
    for count in range(1, len(usable) + 1):
        names = []
        for parts in combinations(usable, count):
            values = [getattr(item, part) for part in parts]
            if sum([getattr(other, part) for part in parts] == values for other in objects) == 1:
                names.append(" ".join(values if "shape" in parts else [*values, "object"]))
        if names:
            return _pick(rng, names)
    return None


def _pick(rng: np.random.Generator, values):
    return values[int(rng.integers(len(values)))]


def make_captions(objects: Objects) -> list[str]:
    """Five captions, worded differently, that name every object in reading order (row by row)."""
    full = [f"a {item.size} {item.colour} {item.shape}" for item in objects]
    short = [f"a {item.colour} {item.shape}" for item in objects]
    return [
        _listed(full),
        f"there is {_listed(full)}",
        f"{_NUMBER_WORDS[len(objects)]} objects: {_listed(full)}",
        _chained(full, objects),
        f"the image shows {_chained(short, objects)}",
    ]


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _chained(names: list[str], objects: Objects) -> str:
    """Each object's place relative to the next: in one row "left of", else "above"."""
    words = [names[0]]
    for name, item, following in zip(names[1:], objects, objects[1:], strict=False):
        words += ["left of" if item.row == following.row else "above", name]
    return " ".join(words)
