"""Test examples of a results folder with known truth: those of the scenes, whose images can be made."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd

from amad_bench.data.scenes.english import make_captions, make_questions
from amad_bench.data.scenes.german import make_sentences
from amad_bench.data.scenes.scene import image_id_of, image_name, scene_generator, scene_objects

PER_IMAGE = {"vqa": 4, "captioning": 1, "translation": 2}
ANSWER_TYPES = {"existence": "yes/no", "counting": "number", "attribute": "other", "relation": "other"}


@dataclass(frozen=True)
class Text:
    """A test example as a prediction's record has it, without the prediction."""

    example_id: str
    cluster_id: str
    references: tuple[str, ...]
    groups: tuple[tuple[str, str], ...] = ()


@cache
def texts_of(task: str, seed: int, examples: int) -> tuple[Text, ...]:
    """The first test examples of the scenes that are drawn from a seed."""
    found: list[Text] = []
    for index in range(-(-examples // PER_IMAGE[task])):
        objects, image = scene_objects(seed, "test", index), image_id_of("test", index)
        if task == "vqa":
            asked = make_questions(objects, scene_generator(seed, "test", index, 1))
            for number, question in enumerate(asked):
                groups = (("question_type", question.kind), ("answer_type", ANSWER_TYPES[question.kind]))
                found.append(
                    Text(str(image * 10 + number), str(image), (question.answer,) * 10, tuple(sorted(groups)))
                )
        elif task == "captioning":
            found.append(Text(str(image), str(image), tuple(make_captions(objects))))
        else:
            for number, (_, german) in enumerate(
                make_sentences(objects, scene_generator(seed, "test", index, 2))
            ):
                found.append(Text(str(2 * index + number), image_name(image), (german,)))
    return tuple(found[:examples])


def named(scores: pd.DataFrame, texts: tuple[Text, ...]) -> pd.DataFrame:
    """The scores with the texts' ids; theirs are numbered."""
    repeats = len(scores) // len(texts)
    return scores.assign(
        example_id=[text.example_id for text in texts] * repeats,
        cluster_id=[text.cluster_id for text in texts] * repeats,
    )


def predictions_of(scores: pd.DataFrame, texts: tuple[Text, ...]) -> list[dict[str, Any]]:
    """A record per split and example: its reference where it is right on the first metric, or another's."""
    rows: list[dict[str, Any]] = []
    for split, of_split in scores.groupby("split", sort=False):
        right = of_split["value"].to_numpy()[: len(texts)] > 0
        for number, text in enumerate(texts):
            said = text if right[number] else texts[number - 1]
            rows.append(
                {
                    "split": split,
                    "example_id": text.example_id,
                    "cluster_id": text.cluster_id,
                    "prediction": said.references[0],
                    "references": list(text.references),
                    "groups": dict(text.groups),
                }
            )
    return rows
