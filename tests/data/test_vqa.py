import copy
import json
import re

import pytest

from amad_bench.data.vqa import read_vqa
from amad_bench.runtime.errors import UserError

QUESTIONS = {
    "questions": [
        {"question_id": 10, "image_id": 1, "question": " what is it? "},
        {"question_id": 20, "image_id": 2, "question": "how many?"},
    ]
}
ANNOTATIONS = {
    "annotations": [
        {
            "question_id": 20,
            "image_id": 2,
            "multiple_choice_answer": "3",
            "answers": [{"answer": "3"}, {"answer": "2"}],
        },
        {"question_id": 10, "image_id": 1, "multiple_choice_answer": "desk", "answers": [{"answer": "desk"}]},
    ]
}


def read(folder, questions=QUESTIONS, annotations=ANNOTATIONS):
    for name, content in (("q.json", questions), ("a.json", annotations)):
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return read_vqa(folder / "q.json", folder / "a.json", "image{}.jpg".format)


def test_questions_meet_their_annotations(tmp_path):
    first, second = read(tmp_path)
    assert (first.example_id, first.cluster_id, first.image) == ("10", "1", "image1.jpg")
    assert (first.source, first.target, first.references) == ("what is it?", "desk", ("desk",))
    assert (second.target, second.references) == ("3", ("3", "2"))


def changed(content, key, index, **changes):
    content = copy.deepcopy(content)
    record = content[key][index]
    record.update(changes)
    for name in [name for name, value in record.items() if value is ...]:
        del record[name]
    return content


def question(index=0, **changes):
    return {"questions": changed(QUESTIONS, "questions", index, **changes)}


def annotation(index=0, **changes):
    return {"annotations": changed(ANNOTATIONS, "annotations", index, **changes)}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"questions": "{"}, "q.json: broken JSON"),
        ({"annotations": "[]"}, "a.json: key 'annotations' is missing"),
        ({"questions": {"questions": [1]}}, "q.json: 'questions' must be a list of objects"),
        (question(question=...), "q.json: question_id 10: key 'question' is missing"),
        (question(question="  "), "q.json: question_id 10: question is empty"),
        (question(1, question_id=10), "q.json: question_id 10 is there twice"),
        (question(question_id=...), "q.json: record 0: key 'question_id' is missing"),
        (question(question_id="x"), "q.json: record 0: 'question_id' must be a whole number, found 'x'"),
        (question(question_id=11), "q.json: question_id 11 has no annotation in .*a.json"),
        (question(image_id=3), "q.json: question_id 10: image_id differs"),
        (annotation(question_id=10), "a.json: question_id 10 is there twice"),
        (annotation(answers=[]), "a.json: question_id 20: 'answers' must be a list"),
        (annotation(answers=["3"]), "a.json: question_id 20: key 'answer' is missing"),
        (annotation(answers=[{"answer": ""}]), "a.json: question_id 20: answer is empty"),
        (annotation(multiple_choice_answer=3), "a.json: question_id 20: multiple_choice_answer is empty"),
        (annotation(image_id=...), "a.json: question_id 20: key 'image_id' is missing"),
    ],
)
def test_a_mistake_is_one_line_with_file_and_record(tmp_path, broken, message):
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path, **broken)
    assert "\n" not in str(caught.value)
    assert re.search("; .", str(caught.value))  # what to do


def test_an_annotation_without_question(tmp_path):
    with pytest.raises(UserError, match=r"a.json: question_id 20 has no question in .*q.json \(1 such"):
        read(tmp_path, questions={"questions": QUESTIONS["questions"][:1]})


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"none.json: no such file"):
        read_vqa(tmp_path / "q.json", tmp_path / "none.json", str)
