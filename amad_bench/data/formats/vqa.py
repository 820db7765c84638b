"""Questions and answers in the layout of VQA v2 (also DAQUAR's derived files)."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amad_bench.data.formats.records import (
    RESTORE,
    Example,
    check_text,
    records_by_id,
    take,
    take_id,
    take_text,
)
from amad_bench.data.formats.vqa_answers import answer_scores, domain
from amad_bench.runtime.errors import UserError

ANNOTATORS = 10  # of VQA v2
OWN_ID = "give every question its own id"
_GROUPS = ("answer_type", "question_type")


@dataclass(frozen=True, slots=True)
class Annotation:
    """The answers to one question; `groups`: its answer_type and question_type where the file gives them."""

    image_id: int
    target: str
    answers: tuple[str, ...]
    groups: dict[str, str]


def read_vqa(
    questions_path: Path,
    annotations_path: Path,
    image_name: Callable[[int], str | None],
    annotators: int = ANNOTATORS,
) -> list[Example]:
    """One example per question, in file order; references are all its `annotators` human answers.

    UserError: duplicate question_id, question without annotation or the reverse, different images, no text,
    more or fewer answers.
    """
    annotations = read_annotations(annotations_path, annotators)
    return read_questions(questions_path, annotations, annotations_path, image_name)


def read_annotations(path: Path, annotators: int = ANNOTATORS) -> dict[int, Annotation]:
    """question_id -> its answers, in file order. The file's other top-level keys do not matter."""
    annotations: dict[int, Annotation] = {}
    one_each = "remove one of the two annotations"
    for question_id, where, record in records_by_id(path, "annotations", "question_id", one_each):
        annotations[question_id] = Annotation(
            take_id(record, "image_id", where),
            take_text(record, "multiple_choice_answer", where),
            _answers(record, annotators, where),
            {key: take_text(record, key, where) for key in _GROUPS if key in record},
        )
    return annotations


def _answers(record: dict[str, Any], annotators: int, where: str) -> tuple[str, ...]:
    """Answers of the annotators, interned: VQA v2 has millions of them, but few different ones.

    One of several annotators may have written nothing: so it is in questions that came from VQA v1.
    """
    given = take(record, "answers", where)
    found = len(given) if isinstance(given, list) else 0
    if found != annotators:
        raise UserError(
            f"{where}: 'answers' must be a list of {annotators}, found {found}; restore the file or, of data"
            " of your own, say `answers: one` or `several` in the config"
        )
    texts = [take(answer, "answer", where) for answer in given]
    return tuple(
        "" if text == "" and annotators > 1 else sys.intern(check_text(text, "answer", where))
        for text in texts
    )


def read_questions(
    path: Path,
    annotations: dict[int, Annotation],
    annotations_path: Path,
    image_name: Callable[[int], str | None],
    vocabulary: frozenset[str] | None = None,
) -> list[Example]:
    """One example per question, in file order, with its answer from `annotations` (of annotations_path).

    With a `vocabulary`, only its answers earn a score, and the example's group "domain" is "in" or "out".
    """
    examples: list[Example] = []
    seen: set[int] = set()
    for question_id, where, record in records_by_id(path, "questions", "question_id", OWN_ID):
        seen.add(question_id)
        if question_id not in annotations:
            raise UserError(f"{where} has no annotation in {annotations_path}; add it or remove the question")
        annotation = annotations[question_id]
        if take_id(record, "image_id", where) != annotation.image_id:
            raise UserError(f"{where}: image_id differs from that in {annotations_path}; {RESTORE}")
        question, groups, answers = (
            take_text(record, "question", where),
            annotation.groups,
            annotation.answers,
        )
        if vocabulary is not None:
            groups = groups | {"domain": domain(answers, vocabulary)}
        examples.append(
            Example(
                example_id=str(question_id),
                cluster_id=str(annotation.image_id),
                image=image_name(annotation.image_id),
                source=question,
                target=annotation.target,
                references=answers,
                where=where,
                groups=groups,
                answer_scores=answer_scores(answers, vocabulary) if len(answers) > 1 else {},
            )
        )
    orphans = annotations.keys() - seen
    if orphans:
        raise UserError(
            f"{annotations_path}: question_id {min(orphans)} has no question in {path}"
            f" ({len(orphans)} such annotations); add the question or remove the annotation"
        )
    return examples
