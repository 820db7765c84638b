import re

import pytest

from amad_bench.data.scenes.german import (
    _NEEDS_IMAGE,
    ADJECTIVES,
    NOUNS,
    make_sentences,
    phrase,
    place_between,
    pronoun,
)
from amad_bench.data.scenes.scene import COLOURS, SHAPES, SIZES, SceneObject, make_scene, scene_generator

# Written by hand, with the verb or preposition that asks for the case.
PHRASES = [
    ("the", ["red"], "circle", "nom", "der rote Kreis"),
    ("the", ["small", "white"], "star", "nom", "der kleine weiße Stern"),
    ("the", ["large"], "diamond", "nom", "die große Raute"),
    ("the", ["green"], "square", "nom", "das grüne Quadrat"),
    ("a", ["small", "blue"], "circle", "nom", "ein kleiner blauer Kreis"),
    ("a", ["large", "red"], "diamond", "nom", "eine große rote Raute"),
    ("a", ["yellow"], "square", "nom", "ein gelbes Quadrat"),
    ("the", ["large", "black"], "circle", "acc", "den großen schwarzen Kreis"),
    ("the", ["white"], "diamond", "acc", "die weiße Raute"),
    ("the", ["small", "green"], "square", "acc", "das kleine grüne Quadrat"),
    ("a", ["small", "yellow"], "star", "acc", "einen kleinen gelben Stern"),
    ("a", ["black"], "diamond", "acc", "eine schwarze Raute"),
    ("a", ["large", "white"], "square", "acc", "ein großes weißes Quadrat"),
    ("the", ["blue"], "star", "dat", "dem blauen Stern"),
    ("the", ["small", "red"], "diamond", "dat", "der kleinen roten Raute"),
    ("the", ["white"], "square", "dat", "dem weißen Quadrat"),
    ("a", ["green"], "circle", "dat", "einem grünen Kreis"),
    ("a", ["large", "yellow"], "diamond", "dat", "einer großen gelben Raute"),
    ("a", ["red"], "square", "dat", "einem roten Quadrat"),
    ("the", [], "square", "dat", "dem Quadrat"),
]


@pytest.mark.parametrize(("article", "adjectives", "shape", "case", "german"), PHRASES)
def test_noun_phrases(article, adjectives, shape, case, german):
    assert phrase(article, adjectives, shape, case) == german


@pytest.mark.parametrize(
    ("shape", "case", "german"),
    [
        ("circle", "nom", "er"),
        ("star", "acc", "ihn"),
        ("diamond", "nom", "sie"),
        ("diamond", "acc", "sie"),
        ("square", "nom", "es"),
        ("square", "acc", "es"),
    ],
)
def test_pronouns(shape, case, german):
    assert pronoun(shape, case) == german


def test_the_words_cover_the_scenes():
    assert set(NOUNS) == set(SHAPES)
    assert set(ADJECTIVES) == {*COLOURS, *SIZES}


def thing(description: str, row: int, column: int) -> SceneObject:
    size, colour, shape = description.split()
    return SceneObject(shape, colour, size, row, column, x=0.0, y=0.0, radius=5.0)


CIRCLE, DIAMOND = thing("large red circle", 0, 0), thing("small white diamond", 2, 0)
# All sentences that this scene can give, by hand.
POSSIBLE = {
    "A large red circle is above a white diamond.": "Ein großer roter Kreis ist über einer weißen Raute.",
    "A small white diamond is below a red circle.": "Eine kleine weiße Raute ist unter einem roten Kreis.",
    "The red circle is above the white diamond.": "Der rote Kreis ist über der weißen Raute.",
    "The white diamond is below the red circle.": "Die weiße Raute ist unter dem roten Kreis.",
    "I see a large red circle and a white diamond.": (
        "Ich sehe einen großen roten Kreis und eine weiße Raute."
    ),
    "I see a small white diamond and a red circle.": (
        "Ich sehe eine kleine weiße Raute und einen roten Kreis."
    ),
    "The red circle is large.": "Der rote Kreis ist groß.",
    "The white diamond is small.": "Die weiße Raute ist klein.",
    "It is large and red.": "Er ist groß und rot.",
    "It is small and white.": "Sie ist klein und weiß.",
    "I see it, and it is red.": "Ich sehe ihn, und er ist rot.",
    "I see it, and it is white.": "Ich sehe sie, und sie ist weiß.",
    "The red object is above the white one.": "Der rote Kreis ist über der weißen Raute.",
    "The white object is below the red one.": "Die weiße Raute ist unter dem roten Kreis.",
    "I see the large red object.": "Ich sehe den großen roten Kreis.",
    "I see the small white object.": "Ich sehe die kleine weiße Raute.",
}


def test_all_sentences_of_a_scene():
    made = {}
    for index in range(300):
        pairs = make_sentences((CIRCLE, DIAMOND), scene_generator(0, "train", index, part=2))
        assert len(pairs) == 2
        assert pairs[0] != pairs[1]
        made.update(pairs)
    assert made == POSSIBLE


@pytest.mark.parametrize(
    ("one", "two", "place"),
    [
        ((0, 0), (0, 2), "left of"),
        ((2, 1), (0, 0), "right of"),
        ((0, 1), (1, 1), "above"),
        ((2, 1), (1, 1), "below"),
    ],
)
def test_places(one, two, place):
    assert place_between(thing("small red star", *one), thing("small blue star", *two)) == place


def test_a_scene_in_which_it_would_be_ambiguous_gives_other_sentences():
    twins = (thing("small red circle", 0, 0), thing("small red square", 1, 1))
    for index in range(50):
        for english, _ in make_sentences(twins, scene_generator(0, "train", index, part=2)):
            assert re.search("circle|square", english), english


def test_the_share_that_needs_the_image_and_its_genders():
    sentences = []
    for index in range(1500):
        objects = make_scene(2, "train", index).objects
        sentences += make_sentences(objects, scene_generator(2, "train", index, part=2))
    shapes = re.compile("|".join(SHAPES))
    needing = [german for english, german in sentences if not shapes.search(english)]
    assert 0.3 < len(needing) / len(sentences) < 0.45
    pronouns = [german.split()[0] for german in needing if german.split()[0] in ("Er", "Sie", "Es")]
    for word in ("Er", "Sie", "Es"):
        assert 0.26 < pronouns.count(word) / len(pronouns) < 0.41


def test_english_sentences_that_need_the_image_fit_one_object_only():
    for index in range(200):
        objects = make_scene(4, "train", index).objects
        for maker in _NEEDS_IMAGE:
            pair = maker(objects, scene_generator(4, "train", index, part=2))
            if pair is None:
                continue
            for part in re.split(r"is (?:left of|right of|above|below)", pair[0]):
                words = set(re.findall(r"\w+", part)) & {*COLOURS, *SIZES}
                assert sum(words <= {item.colour, item.size} for item in objects) == 1, (pair, objects)
