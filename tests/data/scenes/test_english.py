import re
from collections import Counter

import pytest

from amad_bench.data.scenes.english import make_captions, make_questions
from amad_bench.data.scenes.scene import SceneObject, make_scene, scene_generator


def thing(description: str, row: int, column: int) -> SceneObject:
    size, colour, shape = description.split()
    return SceneObject(shape, colour, size, row, column, x=16 * column + 8.0, y=16 * row + 8.0, radius=5.0)


SHAPES, COLOURS, SIZES = "circle square diamond star", "red green blue yellow white black", "small large"


def answer(question: str, objects: tuple[SceneObject, ...]) -> str:
    """A second reader of the questions, written from their wording; asserts that nothing is ambiguous."""

    def fitting(description: str) -> list[SceneObject]:
        words = description.removesuffix(
            "s" if description.rstrip("s").split()[-1] in SHAPES.split() else ""
        ).split()
        known = [word for word in words if word not in ("object", "objects")]
        return [
            item for item in objects if all(word in (item.size, item.colour, item.shape) for word in known)
        ]

    def only(items: list[SceneObject]) -> SceneObject:
        assert len(items) == 1, (question, objects)
        return items[0]

    def beside(side: str, name: str) -> SceneObject:
        reference = only(fitting(name))
        on_side = {
            "left of": lambda item: item.x < reference.x - 5,
            "right of": lambda item: item.x > reference.x + 5,
            "above": lambda item: item.y < reference.y - 5,
            "below": lambda item: item.y > reference.y + 5,
        }[side]
        return only([item for item in objects if on_side(item)])

    sides = "(left of|right of|above|below)"
    if found := re.fullmatch(r"how many (.+) are there\?", question):
        return str(len(fitting(found[1])))
    if found := re.fullmatch(r"is there a (.+)\?", question):
        return "yes" if fitting(found[1]) else "no"
    if found := re.fullmatch(rf"what is {sides} the (.+)\?", question):
        return beside(found[1], found[2]).shape
    if found := re.fullmatch(rf"what color is the object {sides} the (.+)\?", question):
        return beside(found[1], found[2]).colour
    if found := re.fullmatch(r"what (color|shape|size) is the (.+)\?", question):
        return getattr(only(fitting(found[2])), {"color": "colour"}.get(found[1], found[1]))
    raise AssertionError(f"no reading for {question!r}")


def asked(count: int, split: str = "train"):
    for index in range(count):
        objects = make_scene(5, split, index).objects
        yield objects, make_questions(objects, scene_generator(5, split, index, part=1))


def test_every_answer_follows_from_the_scene_alone():
    for objects, questions in asked(400):
        for question in questions:
            assert answer(question.question, objects) == question.answer, (question, objects)


def test_an_image_has_four_different_questions():
    for _, questions in asked(200):
        assert len({question.question for question in questions}) == len(questions) == 4


def test_a_question_never_tells_its_answer():
    for _, questions in asked(200):
        for question in questions:
            if (
                question.kind in ("attribute", "relation")
                and question.answer in COLOURS.split() + SIZES.split()
            ):
                described = question.question.split(" the ", 1)[1]
                if question.kind == "attribute":
                    assert question.answer not in described.split("?")[0].split()


def test_no_answer_is_frequent_and_yes_is_as_frequent_as_no():
    questions = [question for _, some in asked(1500) for question in some]
    shares = {value: n / len(questions) for value, n in Counter(q.answer for q in questions).items()}
    assert max(shares.values()) < 0.12
    assert shares["yes"] == pytest.approx(shares["no"], abs=0.015)
    known = {*SHAPES.split(), *COLOURS.split(), *SIZES.split(), "yes", "no", "0", "1", "2", "3"}
    assert set(shares) == known
    kinds = Counter(question.kind for question in questions)
    assert (
        min(kinds[kind] / len(questions) for kind in ("attribute", "counting", "existence", "relation"))
        > 0.08
    )


def test_captions_of_a_known_scene():
    objects = (
        thing("large red circle", 0, 1),
        thing("small blue star", 1, 0),
        thing("large white diamond", 1, 2),
    )
    assert make_captions(objects) == [
        "a large red circle, a small blue star and a large white diamond",
        "there is a large red circle, a small blue star and a large white diamond",
        "three objects: a large red circle, a small blue star and a large white diamond",
        "a large red circle above a small blue star left of a large white diamond",
        "the image shows a red circle above a blue star left of a white diamond",
    ]


def test_captions_name_every_object_and_stay_short():
    for index in range(200):
        objects = make_scene(5, "test", index).objects
        captions = make_captions(objects)
        assert len(set(captions)) == 5
        for caption in captions:
            words = re.findall(r"\w+", caption)
            assert [word for word in words if word in SHAPES.split()] == [item.shape for item in objects]
            assert [word for word in words if word in COLOURS.split()] == [item.colour for item in objects]
            assert len(words) <= 26
