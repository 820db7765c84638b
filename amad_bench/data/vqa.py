"""Questions and answers in the layout of VQA v2 (also DAQUAR's derived files)."""

from collections.abc import Callable
from pathlib import Path

from amad_bench.data.records import RESTORE, Example, check_text, read_records, take, take_id, take_text
from amad_bench.runtime.errors import UserError


def read_vqa(questions_path: Path, annotations_path: Path, image_name: Callable[[int], str]) -> list[Example]:
    """One example per question, in file order; references are all human answers (10, or 1 for DAQUAR).

    UserError: duplicate question_id, question without annotation or the reverse, different images, no text.
    """
    answers: dict[int, tuple[int, str, tuple[str, ...]]] = {}
    for record in read_records(annotations_path, "annotations"):
        question_id = take_id(record, "question_id", f"{annotations_path}: record {len(answers)}")
        where = f"{annotations_path}: question_id {question_id}"
        if question_id in answers:
            raise UserError(f"{where} is there twice; remove one of the two annotations")
        given = take(record, "answers", where)
        if not isinstance(given, list) or not given:
            raise UserError(f"{where}: 'answers' must be a list with at least one answer; {RESTORE}")
        texts = tuple(check_text(take(answer, "answer", where), "answer", where) for answer in given)
        answers[question_id] = (
            take_id(record, "image_id", where),
            take_text(record, "multiple_choice_answer", where),
            texts,
        )
    examples: list[Example] = []
    seen: set[int] = set()
    for record in read_records(questions_path, "questions"):
        question_id = take_id(record, "question_id", f"{questions_path}: record {len(examples)}")
        where = f"{questions_path}: question_id {question_id}"
        if question_id in seen:
            raise UserError(f"{where} is there twice; give every question its own id")
        seen.add(question_id)
        if question_id not in answers:
            raise UserError(f"{where} has no annotation in {annotations_path}; add it or remove the question")
        image_id, target, references = answers[question_id]
        if take(record, "image_id", where) != image_id:
            raise UserError(f"{where}: image_id differs from that in {annotations_path}; {RESTORE}")
        examples.append(
            Example(
                example_id=str(question_id),
                cluster_id=str(image_id),
                image=image_name(image_id),
                source=take_text(record, "question", where),
                target=target,
                references=references,
                where=where,
            )
        )
    orphans = answers.keys() - seen
    if orphans:
        raise UserError(
            f"{annotations_path}: question_id {min(orphans)} has no question in {questions_path}"
            f" ({len(orphans)} such annotations); add the question or remove the annotation"
        )
    return examples
