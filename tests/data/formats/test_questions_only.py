import json

import pytest

from amad_bench.data.formats.questions_only import read_questions_only
from amad_bench.runtime.errors import UserError

QUESTION = {"question_id": 262144000, "image_id": 262144, "question": " Is the ball flying? "}


def _read(folder, *questions):
    path = folder / "v2_OpenEnded_mscoco_test-dev2015_questions.json"
    path.write_text(json.dumps({"info": {}, "questions": list(questions)}))
    return read_questions_only(path, lambda image_id, _where: f"{image_id}.jpg")


def test_questions_come_without_answers_in_file_order(tmp_path):
    first, second = _read(tmp_path, QUESTION, {**QUESTION, "question_id": 5, "image_id": 7})
    assert (first.example_id, first.cluster_id, first.image) == ("262144000", "262144", "262144.jpg")
    assert (first.source, first.target, first.references) == ("Is the ball flying?", "", ())
    assert first.where.endswith("test-dev2015_questions.json: question_id 262144000")
    assert (second.example_id, second.image) == ("5", "7.jpg")


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ([], "no questions; give a file with some"),
        ([QUESTION, QUESTION], "question_id 262144000 is there twice"),
        ([{**QUESTION, "question": " "}], "question_id 262144000: question is empty"),
        ([{**QUESTION, "image_id": "a"}], "question_id 262144000: 'image_id' must be a whole number"),
        ([{"question": "why?"}], "record 0: key 'question_id' is missing"),
    ],
)
def test_flaws_are_one_line(tmp_path, questions, message):
    with pytest.raises(UserError, match=f"questions.json: .*{message}") as caught:
        _read(tmp_path, *questions)
    assert len(str(caught.value).splitlines()) == 1
