import gzip
import json

import pytest

from amad_bench.data.formats.vqa_answers import answer_scores, common_answers, domain, read_answers
from amad_bench.runtime.errors import UserError


def test_nine_questions_make_an_answer_common():
    answers = ["Yes!"] * 8 + ["the yes"] + ["2"] * 4 + ["two"] * 5 + ["rare"] * 8 + ["a"] * 6 + ["?"] * 3
    assert common_answers(answers) == {"yes", "2", ""}  # the official vocabulary has "" too


def test_scores_by_the_number_of_annotators():
    answers = ["a"] * 1 + ["b"] * 2 + ["c"] * 3 + ["d"] * 4
    assert answer_scores(answers, None) == {"a": 0.3, "b": 0.6, "c": 0.9, "d": 1.0}
    assert answer_scores(["e"] * 7 + ["f"] * 3, None) == {"e": 1.0, "f": 0.9}
    assert answer_scores(answers, frozenset({"b", "d", "x"})) == {"b": 0.6, "d": 1.0}


@pytest.mark.trap("data-2")
def test_answers_count_as_written():
    """As in the official code: "Yes" is not in the vocabulary, and it adds nothing to "yes"."""
    assert answer_scores(["Yes"] * 6 + ["yes"] * 4 + [""] * 2, frozenset({"yes", ""})) == {"yes": 1.0}
    assert answer_scores(["Yes"] * 8 + ["yes"] * 2, frozenset({"yes"})) == {"yes": 0.6}


@pytest.mark.trap("data-2")
@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["net"] * 10, "in"),
        (["mesh"] * 10, "out"),
        (["mesh"] * 6 + ["net"] * 4, "in"),  # both earn 1
        (["mesh"] * 7 + ["net"] * 3, "out"),  # the best answer earns 1, the vocabulary's .9
        (["mesh", "rope", "wire", "net"], "in"),
    ],
)
def test_in_domain_means_that_the_vocabulary_reaches_the_best_score(answers, expected):
    assert domain(answers, frozenset({"net", "yes"})) == expected


def test_the_file_of_vl_t5(tmp_path):
    path = tmp_path / "trainval_ans2label.json"
    path.write_text(json.dumps({"net": 1, "yes": 0, "": 2}))
    assert read_answers(path) == {"net", "yes", ""}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (["net"], "expected an object of answer -> label"),
        ({"net": 0, "yes": 0}, "answers 'net' and 'yes' have the same label 0"),
        ({"net": 0, "yes": 2}, "answer 'yes': its label must be a whole number from 0 to 1, found 2"),
        ({"net": True, "yes": 0}, "answer 'net': its label .* found True"),
        ({"net": "0"}, "answer 'net': its label .* found '0'"),
    ],
)
def test_a_broken_file(tmp_path, content, message):
    path = tmp_path / "trainval_ans2label.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"^{path}: {message}"):
        read_answers(path)


def test_the_most_common_answers_of_real_questions(shared_data):
    """yes and no are a third of vqa-v2-subset, chosen evenly from three kinds of answers (its README)."""
    targets = []
    for split in ("train", "test"):
        text = gzip.decompress((shared_data / f"vqa-v2-subset/annotations_{split}.json.gz").read_bytes())
        targets += [record["multiple_choice_answer"] for record in json.loads(text)["annotations"]]
    assert len(targets) == 51023
    vocabulary = common_answers(targets)
    assert {"yes", "no", "0", "1", "2", "white", "tennis"} <= vocabulary
    assert len(vocabulary) < 3129  # which eight times as many questions have
