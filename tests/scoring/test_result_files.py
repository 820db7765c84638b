"""Result files as the owners describe them, written out by hand."""

import json

import pytest

from amad_bench.plan.catalogue import TASKS
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.run_folder.predictions import Prediction
from amad_bench.scoring.result_files import RECORDS, result_file, write_result_files


def _rows(split, texts):
    return [Prediction(split, id, "", text, [""], {}) for id, text in texts.items()]


def test_answers_by_question_id():
    """visualqa.org/evaluation: results = [result], result = {"question_id": int, "answer": str}."""
    content = result_file("vqa", {"262148000": "yes", "7": 'two "dogs"', "12": "caf\u00e9"})
    assert content == (
        '[{"question_id": 262148000, "answer": "yes"}, {"question_id": 7, "answer": "two \\"dogs\\""}, '
        '{"question_id": 12, "answer": "caf\u00e9"}]\n'
    )


def test_captions_by_image_id():
    """cocodataset.org/#format-results: [{"image_id": int, "caption": str}]."""
    assert json.loads(result_file("captioning", {"42": "a dog"})) == [{"image_id": 42, "caption": "a dog"}]


@pytest.mark.parametrize("ids", [["10_ab.jpg", "9.jpg"], ["10", "9.jpg"], ["007", "8"], ["²", "3"]])
def test_ids_that_are_not_all_whole_numbers_stay_text(ids):
    """Flickr8k's images are called by the names of their files."""
    found = json.loads(result_file("captioning", dict.fromkeys(ids, "a dog")))
    assert [record["image_id"] for record in found] == ids


def test_negative_ids_are_numbers_too():
    """In data of one's own they may be."""
    found = json.loads(result_file("vqa", {"-12": "yes", "0": "no"}))
    assert [record["question_id"] for record in found] == [-12, 0]
    assert json.loads(result_file("vqa", {"-0": "yes"}))[0]["question_id"] == "-0"


def test_sentences_in_the_order_of_the_file():
    """Predictions are in a hashed order, ids are line numbers; no sentence is two lines."""
    texts = {"10": "elf", "2": "drei", "0": "eins\r\n und mehr", "9": ""}
    assert result_file("translation", texts) == "eins  und mehr\ndrei\n\nelf\n"


def test_every_task_has_a_format():
    assert {*RECORDS, "translation"} == set(TASKS)


def test_a_file_per_test_split_and_none_for_controls(tmp_path):
    splits = ("test", "test_blind", "test_majority", "test_2017_flickr")
    by_split = {split: _rows(split, {"1": split, "0": "null"}) for split in splits}
    written = write_result_files("translation", by_split, tmp_path / "out")
    assert written == [tmp_path / "out" / "test.txt", tmp_path / "out" / "test_2017_flickr.txt"]
    assert sorted((tmp_path / "out").iterdir()) == sorted(written)
    assert written[1].read_text() == "null\ntest_2017_flickr\n"
    assert write_result_files("vqa", {"test": by_split["test"]}, tmp_path / "vqa")[0].name == "test.json"


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError, match=r"out: it exists, and nothing is overwritten; name another or"):
        write_result_files("vqa", {"test": _rows("test", {"1": "yes"})}, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"
    with pytest.raises(UserError, match=r"out/a/b: .*out is a file, no folder; name a place elsewhere"):
        write_result_files("vqa", {"test": _rows("test", {"1": "yes"})}, tmp_path / "out" / "a" / "b")
