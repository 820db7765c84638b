"""Questions without answers, in the layout of VQA v2: what its owners publish of test-dev and test-std."""

from collections.abc import Callable
from pathlib import Path

from amad_bench.data.formats.records import Example, records_by_id, take_id, take_text
from amad_bench.data.formats.vqa import OWN_ID
from amad_bench.runtime.errors import UserError


def read_questions_only(path: Path, image_name: Callable[[int, str], str]) -> list[Example]:
    """One example per question, in file order, without target and references; no annotations are read.

    image_name(image id, where): the name of the photo, or a UserError that begins with `where`, file and
    record. UserError also for a question that is there twice, or is no text, and for no question at all.
    """
    examples: list[Example] = []
    for question_id, where, record in records_by_id(path, "questions", "question_id", OWN_ID):
        image_id = take_id(record, "image_id", where)
        examples.append(
            Example(
                example_id=str(question_id),
                cluster_id=str(image_id),
                image=image_name(image_id, where),
                source=take_text(record, "question", where),
                target="",
                references=(),
                where=where,
            )
        )
    if not examples:
        raise UserError(f"{path}: no questions; give a file with some")
    return examples
