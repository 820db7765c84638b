"""English sentences about a scene with their German translation, inflected by a small table."""

from collections.abc import Callable

import numpy as np

from amad_bench.data.scenes.scene import SceneObject

SENTENCES_PER_IMAGE = 2
NEEDS_IMAGE_SHARE = 0.4  # of the sentences: only the picture tells the German gender or noun

NOUNS = {
    "circle": ("Kreis", "m"),
    "star": ("Stern", "m"),
    "diamond": ("Raute", "f"),
    "square": ("Quadrat", "n"),
}
ADJECTIVES = {
    "small": "klein",
    "large": "groß",
    "red": "rot",
    "green": "grün",
    "blue": "blau",
    "yellow": "gelb",
    "white": "weiß",
    "black": "schwarz",
}
# case -> gender -> article, adjective ending after it
DEFINITE = {
    "nom": {"m": ("der", "e"), "f": ("die", "e"), "n": ("das", "e")},
    "acc": {"m": ("den", "en"), "f": ("die", "e"), "n": ("das", "e")},
    "dat": {"m": ("dem", "en"), "f": ("der", "en"), "n": ("dem", "en")},
}
INDEFINITE = {
    "nom": {"m": ("ein", "er"), "f": ("eine", "e"), "n": ("ein", "es")},
    "acc": {"m": ("einen", "en"), "f": ("eine", "e"), "n": ("ein", "es")},
    "dat": {"m": ("einem", "en"), "f": ("einer", "en"), "n": ("einem", "en")},
}
PRONOUNS = {"nom": {"m": "er", "f": "sie", "n": "es"}, "acc": {"m": "ihn", "f": "sie", "n": "es"}}
# English preposition -> German one; all of these take the dative here (a place, not a direction).
PLACES = {"left of": "links von", "right of": "rechts von", "above": "über", "below": "unter"}

Objects = tuple[SceneObject, ...]
Pair = tuple[str, str]  # English, German


def phrase(article: str, adjectives: list[str], shape: str, case: str) -> str:
    """German noun phrase: article is "the" or "a", adjectives and shape are the English words."""
    noun, gender = NOUNS[shape]
    word, ending = (DEFINITE if article == "the" else INDEFINITE)[case][gender]
    return " ".join([word, *(ADJECTIVES[adjective] + ending for adjective in adjectives), noun])


def pronoun(shape: str, case: str) -> str:
    """er, sie, es, ihn for the shape's noun."""
    return PRONOUNS[case][NOUNS[shape][1]]


def make_sentences(objects: Objects, rng: np.random.Generator) -> list[Pair]:
    """Two (English, German) sentences about one scene."""
    pairs: list[Pair] = []
    while len(pairs) < SENTENCES_PER_IMAGE:
        makers = _NEEDS_IMAGE if rng.random() < NEEDS_IMAGE_SHARE else _TEXT_ONLY
        pair = makers[int(rng.integers(len(makers)))](objects, rng)
        if pair is not None and pair not in pairs:  # None: "it" would fit two objects of this scene
            pairs.append(pair)
    return pairs


def place_between(item: SceneObject, other: SceneObject) -> str:
    """Place of `item` seen from `other`: by columns, or by rows in the same column."""
    if item.column != other.column:
        return "left of" if item.column < other.column else "right of"
    return "above" if item.row < other.row else "below"


def _two(objects: Objects, rng: np.random.Generator) -> tuple[SceneObject, SceneObject]:
    """Two different objects; two of the four nouns are masculine, so the others count twice at first:
    er, sie and es come equally often."""
    weighted = [item for item in objects for _ in range(1 if NOUNS[item.shape][1] == "m" else 2)]
    first = weighted[int(rng.integers(len(weighted)))]
    others = [item for item in objects if item is not first]
    return first, others[int(rng.integers(len(others)))]


def _alone(item: SceneObject, objects: Objects, *parts: str) -> bool:
    """Whether no other object has the same values of these attributes."""
    return all(
        other is item or any(getattr(other, part) != getattr(item, part) for part in parts)
        for other in objects
    )


def _sentence(english: str, german: str) -> Pair:
    return english[0].upper() + english[1:], german[0].upper() + german[1:]


def _relation(
    one: SceneObject, two: SceneObject, article: str, adjectives: list[str], nouns: tuple[str, str]
) -> Pair:
    """Place of `one` (with these adjectives), seen from `two`; nouns: the English words for both."""
    place = place_between(one, two)
    subject = phrase(article, adjectives, one.shape, "nom")
    other = phrase(article, [two.colour], two.shape, "dat")
    return _sentence(
        f"{article} {' '.join(adjectives)} {nouns[0]} is {place} {article} {two.colour} {nouns[1]}.",
        f"{subject} ist {PLACES[place]} {other}.",
    )


# --- sentences that the English text decides ---


def _relation_indefinite(objects: Objects, rng: np.random.Generator) -> Pair:
    one, two = _two(objects, rng)
    return _relation(one, two, "a", [one.size, one.colour], (one.shape, two.shape))


def _relation_definite(objects: Objects, rng: np.random.Generator) -> Pair:
    one, two = _two(objects, rng)
    return _relation(one, two, "the", [one.colour], (one.shape, two.shape))


def _seen(objects: Objects, rng: np.random.Generator) -> Pair:
    one, two = _two(objects, rng)
    seen = phrase("a", [one.size, one.colour], one.shape, "acc")
    also = phrase("a", [two.colour], two.shape, "acc")
    return (
        f"I see a {one.size} {one.colour} {one.shape} and a {two.colour} {two.shape}.",
        f"Ich sehe {seen} und {also}.",
    )


def _size_told(objects: Objects, rng: np.random.Generator) -> Pair:
    one, _ = _two(objects, rng)
    subject = phrase("the", [one.colour], one.shape, "nom")
    return _sentence(f"the {one.colour} {one.shape} is {one.size}.", f"{subject} ist {ADJECTIVES[one.size]}.")


# --- sentences for which the picture must tell the shape ---


def _it_is(objects: Objects, rng: np.random.Generator) -> Pair | None:
    one, _ = _two(objects, rng)
    if not _alone(one, objects, "size", "colour"):
        return None
    return _sentence(
        f"it is {one.size} and {one.colour}.",
        f"{pronoun(one.shape, 'nom')} ist {ADJECTIVES[one.size]} und {ADJECTIVES[one.colour]}.",
    )


def _see_it(objects: Objects, rng: np.random.Generator) -> Pair | None:
    one, _ = _two(objects, rng)
    if not _alone(one, objects, "colour"):
        return None
    seen = pronoun(one.shape, "acc")
    return (
        f"I see it, and it is {one.colour}.",
        f"Ich sehe {seen}, und {pronoun(one.shape, 'nom')} ist {ADJECTIVES[one.colour]}.",
    )


def _one_beside_one(objects: Objects, rng: np.random.Generator) -> Pair | None:
    """The German text names the shapes for which English has "one" and "object"."""
    one, two = _two(objects, rng)
    if not (_alone(one, objects, "colour") and _alone(two, objects, "colour")):
        return None
    return _relation(one, two, "the", [one.colour], ("object", "one"))


def _seen_object(objects: Objects, rng: np.random.Generator) -> Pair | None:
    one, _ = _two(objects, rng)
    if not _alone(one, objects, "size", "colour"):
        return None
    seen = phrase("the", [one.size, one.colour], one.shape, "acc")
    return f"I see the {one.size} {one.colour} object.", f"Ich sehe {seen}."


Maker = Callable[[Objects, np.random.Generator], Pair | None]
_TEXT_ONLY: list[Maker] = [_relation_indefinite, _relation_definite, _seen, _size_told]
_NEEDS_IMAGE: list[Maker] = [_it_is, _see_it, _one_beside_one, _seen_object]
