"""Decoded examples: what was asked, the image, what each model answered; a handful, chosen by nobody."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from PIL import Image

from amad_bench.analysis.settings import TEACHER, grouped
from amad_bench.data.tasks.shown import ShownExample, shown_examples
from amad_bench.plan import catalogue
from amad_bench.plan.plan import Plan
from amad_bench.runtime.errors import USABLE, UserError
from amad_bench.runtime.results import ResultsFolder
from amad_bench.runtime.run_folder.predictions import Prediction, first_predictions

EXAMPLES = 3  # of each family, task and data set
GROUPS = 6  # families, tasks and data sets, at most
SIDE = 256  # pixels, at most; a smaller image is enlarged by the page
_SPLIT = "test"


@dataclass(frozen=True)
class Answered:
    """A test example. references: each once, the most frequent first. answers: by loss, the teacher first.

    image: a data URI, "" where `no_image` says why there is none; small: its pixels are shown as squares.
    """

    asked: str
    references: list[str]
    answers: dict[str, str]
    image: str
    small: bool
    no_image: str


@dataclass(frozen=True)
class AnsweredGroup:
    """Examples of one family, task and data set. runs: by loss, the id of the run that answered."""

    title: str
    setting: str
    runs: dict[str, str]
    examples: list[Answered]


def answered(plan: Plan, runs: pd.DataFrame, results: ResultsFolder) -> list[AnsweredGroup]:
    """The first test examples of each family, task and data set, in the fixed order that hashes give them.

    They are answered by the first setting's teacher and, for each loss, its first replicate with predictions.
    """
    students: Any = runs[(runs["kind"] == "student") & runs["status"].isin(USABLE)]
    found = []
    for values, rows in grouped(students, ["family", "task", "dataset"])[:GROUPS]:
        first: Any = rows.iloc[0]
        alike = ["teacher_heads", "student_heads", "student", "pretraining", "block"]
        own: Any = rows
        for column in alike:
            own = own[own[column].eq(first[column]) | (own[column].isna() & pd.isna(first[column]))]
        ids = {loss["loss"]: of_loss["run_id"].iloc[0] for loss, of_loss in grouped(own, ["loss"])}
        teacher = own["teacher_id"].dropna()
        if len(teacher):
            ids = {TEACHER: teacher.iloc[0]} | ids
        found.append(
            _group(plan, ids, values, f"{first['teacher_heads']} → {first['student_heads']} heads", results)
        )
    return found


def _group(
    plan: Plan, ids: dict[str, str], values: dict[str, Any], setting: str, results: ResultsFolder
) -> AnsweredGroup:
    said = {
        loss: {prediction.example_id: prediction for prediction in _first(results, run_id)}
        for loss, run_id in ids.items()
    }
    said = {loss: predictions for loss, predictions in said.items() if predictions}
    known = next(iter(said.values()), {})
    chosen = [example for example in known if all(example in own for own in said.values())]
    shown, trouble = _shown(plan, next(iter(ids.values())), chosen)
    title = [
        catalogue.FAMILIES[values["family"]].label,
        catalogue.TASKS[values["task"]].label,
        catalogue.label_of(values["dataset"]),
    ]
    examples = [
        _answered(shown.get(example), trouble, {loss: own[example] for loss, own in said.items()})
        for example in chosen
    ]
    return AnsweredGroup(", ".join(title), setting, {loss: ids[loss] for loss in said}, examples)


def _first(results: ResultsFolder, run_id: str) -> list[Prediction]:
    path = results.run(run_id).predictions
    return first_predictions(path, _SPLIT, EXAMPLES) if path.is_file() else []


def _shown(plan: Plan, run_id: str, examples: Sequence[str]) -> tuple[dict[str, ShownExample], str]:
    """(what was asked, "") or (nothing, why that cannot be had here)."""
    try:
        return shown_examples(plan.run(run_id).config, _SPLIT, examples), ""
    except UserError as error:  # data that were deleted, or are another machine's
        return {}, str(error)


def _answered(shown: ShownExample | None, trouble: str, said: dict[str, Prediction]) -> Answered:
    references = pd.Series(next(iter(said.values())).references).value_counts(sort=True)
    image = shown.image if shown else None
    return Answered(
        asked=shown.asked if shown else "",
        references=[str(text) for text in references.index],
        answers={loss: prediction.prediction for loss, prediction in said.items()},
        image=_data_uri(image) if image else "",
        small=bool(image) and max(image.size) < SIDE // 2,
        no_image=shown.no_image if shown else trouble,
    )


def _data_uri(image: Image.Image) -> str:
    """The image, no larger than SIDE: PNG of few pixels, else WebP."""
    shrunk = image.copy()
    shrunk.thumbnail((SIDE, SIDE))
    kind = "PNG" if max(image.size) < SIDE // 2 else "WEBP"
    content = io.BytesIO()
    shrunk.save(content, format=kind, quality=80)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content.getvalue()).decode()}"
