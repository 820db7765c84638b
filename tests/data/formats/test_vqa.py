import copy
import gzip
import json
import re

import pytest

from amad_bench.data.formats.vqa import read_vqa
from amad_bench.runtime.errors import UserError
from tests.data.official_tree import answers

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
            "answers": answers(*["3"] * 7, "2", "2", "none"),
            "answer_type": "number",
        },
        {
            "question_id": 10,
            "image_id": 1,
            "multiple_choice_answer": "desk",
            "answers": answers(*["desk"] * 10),
            "answer_type": "other",
            "question_type": "what is",
        },
    ]
}


def read(folder, questions=QUESTIONS, annotations=ANNOTATIONS, **options):
    for name, content in (("q.json", questions), ("a.json", annotations)):
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return read_vqa(folder / "q.json", folder / "a.json", "image{}.jpg".format, **options)


def test_questions_meet_their_annotations(tmp_path):
    first, second = read(tmp_path)
    assert (first.example_id, first.cluster_id, first.image) == ("10", "1", "image1.jpg")
    assert (first.source, first.target, first.references) == ("what is it?", "desk", ("desk",) * 10)
    assert (second.target, second.references) == ("3", ("3",) * 7 + ("2", "2", "none"))
    assert first.groups == {"answer_type": "other", "question_type": "what is"}
    assert second.groups == {"answer_type": "number"}
    assert second.answer_scores == {"3": 1.0, "2": 0.6, "none": 0.3}


def test_one_answer_of_daquar_earns_no_score(tmp_path):
    annotations = copy.deepcopy(ANNOTATIONS)
    for record in annotations["annotations"]:
        record["answers"] = record["answers"][:1]
    first, second = read(tmp_path, annotations=annotations, annotators=1)
    assert (first.references, second.references) == (("desk",), ("3",))
    assert first.answer_scores == second.answer_scores == {}


def test_one_of_ten_annotators_may_have_written_nothing(tmp_path):
    _, second = read(tmp_path, **annotation(answers=answers(*["3"] * 9, "")))
    assert second.references == ("3",) * 9 + ("",)
    assert second.answer_scores == {"3": 1.0}


def test_zipped_files_and_other_top_level_keys(tmp_path):
    """vqa-v2-subset has nothing but the records; the official files have info, license and types, too."""
    (tmp_path / "q.json.gz").write_bytes(gzip.compress(json.dumps(QUESTIONS).encode()))
    (tmp_path / "a.json").write_text(json.dumps({"info": {}, "data_type": "mscoco", **ANNOTATIONS}))
    examples = read_vqa(tmp_path / "q.json.gz", tmp_path / "a.json", "image{}.jpg".format)
    assert examples[0].references == ("desk",) * 10


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
        (question(image_id=True), "q.json: question_id 10: 'image_id' must be a whole number, found True"),
        (question(image_id=1.0), "q.json: question_id 10: 'image_id' must be a whole number, found 1.0"),
        (annotation(answers=[]), "a.json: question_id 20: 'answers' must be a list of 10, found 0"),
        (annotation(answers={}), "a.json: question_id 20: 'answers' must be a list of 10, found 0"),
        (
            annotation(answers=answers(*["3"] * 9)),
            "a.json: question_id 20: 'answers' must be a list of 10, found 9",
        ),
        (annotation(answers=["3"] * 10), "a.json: question_id 20: key 'answer' is missing"),
        (annotation(answers=answers(*["3"] * 9, "  ")), "a.json: question_id 20: answer is empty"),
        (annotation(answers=answers(*["3"] * 9, 3)), "a.json: question_id 20: answer is empty or not a text"),
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
