"""Expected values: from the official evaluators (fixtures/vqa_official.json says how), and by hand."""

import json

import pytest

from amad_bench.data.text import answer_text
from amad_bench.runtime.errors import UserError
from amad_bench.scoring import vqa
from amad_bench.scoring.vqa import exact_match, vqa_accuracy


def answers(*counted: tuple[str, int]) -> list[str]:
    return [answer for answer, count in counted for _ in range(count)]


@pytest.fixture(scope="module")
def official(repository) -> dict:
    path = repository / "tests" / "scoring" / "fixtures" / "vqa_official.json"
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.trap("vqa-1")
@pytest.mark.parametrize(("rule", "place"), [("2017", 4), ("2021", 6)])
def test_equals_the_official_evaluator(official, rule, place):
    """As printed, to the last digit; before rounding but for the order in which it adds up floats."""
    assert len(official["cases"]) == 375
    scores: dict[str, list[float]] = {"all": []}
    for case in official["cases"]:
        about, prediction, counted, answer_type = case[:4]
        score = vqa_accuracy(prediction, answers(*counted), rule)
        assert round(100 * score, 2) == case[place + 1], about
        assert score == pytest.approx(case[place], abs=2.3e-16), about
        scores["all"].append(score)
        scores.setdefault(answer_type, []).append(score)
    printed = {name: round(100 * sum(group) / len(group), 2) for name, group in scores.items()}
    accuracy = official["accuracy"][rule]
    assert printed == {"all": accuracy["overall"], **accuracy["perAnswerType"]}


def test_the_official_cases_tell_the_rules_apart(official):
    assert sum(case[4] != case[6] for case in official["cases"]) > 100
    for place in (4, 6):
        seen = {round(case[place], 12) for case in official["cases"]}
        assert {0.0, 0.3, 0.6, 0.9, 1.0} <= seen


@pytest.mark.trap("vqa-1")
@pytest.mark.parametrize("rule", ["2017", "2021"])
@pytest.mark.parametrize(
    ("matching", "score"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (5, 1.0), (9, 1.0), (10, 1.0)]
)
def test_leave_one_out_over_ten_annotators(rule, matching, score):
    # k matches: k times min(1, (k-1)/3), 10-k times min(1, k/3), over 10
    assert vqa_accuracy("dog", answers(("dog", matching), ("cat", 10 - matching)), rule) == score


@pytest.mark.trap("vqa-8")
@pytest.mark.parametrize(
    ("given", "score"),
    [
        (["dog"], 0.0),  # leaving out the only annotator leaves none
        (["dog", "dog"], 1 / 3),
        (["dog", "dog", "dog"], 2 / 3),
        (["dog", "cat", "cat"], 2 / 9),  # 0, 1/3, 1/3
        (["dog"] * 4, 1.0),
    ],
)
def test_other_numbers_of_annotators(given, score):
    assert vqa_accuracy("dog", given, "2017") == pytest.approx(score, abs=1e-15)
    assert vqa_accuracy("dog", given, "2021") == pytest.approx(score, abs=1e-15)


# The prediction is normalised whatever the answers are; unanimous answers are left as they are.
UNANIMOUS_2017 = [
    ("Yes", "yes", 1.0),
    ("yes.", "yes", 1.0),
    (" yes\n", "yes", 1.0),
    ("yes", "Yes", 0.0),  # nothing lowers an answer
    ("Yes", "Yes", 0.0),
    ("a dog", "dog", 1.0),
    ("The dog", "dog", 1.0),
    ("dog", "a dog", 0.0),
    ("a dog", "a dog", 0.0),  # the article leaves the prediction only
    ("the", "the", 0.0),
    ("two", "2", 1.0),
    ("2", "two", 0.0),
    ("none", "0", 1.0),
    ("zero", "0", 1.0),
    ("TEN", "10", 1.0),
    ("eleven", "11", 0.0),
    ("dont", "don't", 1.0),
    ("don't", "don't", 1.0),
    ("somebody'd", "somebodyd", 1.0),
    ("somebodyd", "somebody'd", 0.0),
    ("Im", "im", 1.0),  # the key "Im" has a capital, the word has none any more
    ("Im", "i'm", 0.0),
    ("Ive", "ive", 1.0),
    ("ow's'at", "'ow's'at", 1.0),
    ("twas", "'twas", 1.0),
    ("let's", "let's", 1.0),
    ("yalld've", "yalld've", 1.0),  # no such key
    ("y'alld've", "y'all'd've", 1.0),
    ("black/white", "black white", 1.0),  # no blank beside it: becomes one
    ("black, white", "black white", 1.0),  # a blank beside it: vanishes
    ("black ,white", "black white", 1.0),
    ("black,white", "black white", 1.0),
    ("black - white,red", "black white red", 1.0),
    ("black,white, red", "blackwhite red", 1.0),  # one ", " makes every comma vanish
    ("t-shirt", "t shirt", 1.0),
    ("1,000", "1000", 1.0),
    ("1,000 t-shirts", "1000 tshirts", 1.0),  # digit-comma-digit: every listed mark vanishes
    ("(yes)", "yes", 1.0),
    ("what?", "what", 1.0),
    ("it's 5:30", "it's 5:30", 1.0),  # neither ' nor : is listed
    ("50%", "50%", 1.0),
    ("$5 & up", "$5 & up", 1.0),
    ("2.5", "2.5", 1.0),  # a period before a digit stays
    (".5", ".5", 1.0),
    ("2.5.", "2.5", 1.0),
    ("u.s.a.", "usa", 1.0),
    ("mr. smith", "mr smith", 1.0),
    ("a.m.", "am", 1.0),  # the periods go before the articles, so "a" is no word of its own
    ("." * 32 + "x", "x", 1.0),
    ("." * 33 + "x", ".x", 1.0),  # at most 32 periods go
    ("red\ncar", "red car", 1.0),
    ("red\tcar", "red car", 1.0),
    ("red   car", "red car", 1.0),
    ("red", " red", 0.0),  # an answer keeps its blanks
    ("", "yes", 0.0),
]


@pytest.mark.trap("vqa-2")
@pytest.mark.trap("vqa-5")
@pytest.mark.trap("vqa-6")
@pytest.mark.trap("vqa-7")
@pytest.mark.parametrize(("prediction", "answer", "score"), UNANIMOUS_2017)
def test_2017_unanimous(prediction, answer, score):
    assert vqa_accuracy(prediction, [answer] * 10, "2017") == score


# Of ten answers k are the one given and the others "zebra": not unanimous.
DIVIDED_2017 = [
    ("black white", "black,white", 4, 1.0),  # now the answers lose their punctuation
    ("black white", "black, white", 2, 0.6),
    ("1000", "1,000", 3, 0.9),
    ("usa", "U.S.A.", 4, 0.0),  # but not their capitals
    ("usa", "u.s.a.", 1, 0.3),
    ("what", "what?", 5, 0.0),  # "what?" becomes "what " with its blank
    ("what", "what ?", 5, 0.0),
    ("2", "two", 5, 0.0),
    ("a dog", "a dog", 9, 0.0),
    ("dont", "dont", 9, 0.0),  # the prediction becomes "don't"
    ("don't", "don't", 9, 1.0),
]


@pytest.mark.trap("vqa-2")
@pytest.mark.parametrize(("prediction", "answer", "count", "score"), DIVIDED_2017)
def test_2017_divided(prediction, answer, count, score):
    assert vqa_accuracy(prediction, answers((answer, count), ("zebra", 10 - count)), "2017") == score


def test_2017_answers_that_become_equal_add_up():
    given = answers(("black,white", 1), ("black/white", 1), ("black white", 1), ("grey", 7))
    assert vqa_accuracy("black and white", given) == 0.0
    assert vqa_accuracy("black white", given) == 0.9


UNANIMOUS_2021 = [
    ("yes", "yes", 1.0),
    ("Yes", "yes", 0.0),
    ("yes.", "yes", 0.0),
    (" yes\n", "yes", 1.0),
    ("Yes", "Yes", 1.0),
    ("a dog", "a dog", 1.0),
    ("a dog", "dog", 0.0),
    ("two", "2", 0.0),
    ("1,000", "1000", 0.0),
    ("dont", "don't", 0.0),
    ("red car", "red\tcar", 1.0),
]


@pytest.mark.trap("vqa-3")
@pytest.mark.parametrize(("prediction", "answer", "score"), UNANIMOUS_2021)
def test_2021_unanimous(prediction, answer, score):
    assert vqa_accuracy(prediction, [answer] * 10, "2021") == score


DIVIDED_2021 = [
    ("Yes.", "yes", 9, 1.0),
    ("yes", "YES!", 2, 0.6),
    ("2", "two", 5, 1.0),
    ("two", "2", 3, 0.9),
    ("the dog", "a dog", 1, 0.3),
    ("what", "what?", 5, 1.0),
    ("dont", "don't", 4, 1.0),
    ("1,000 t-shirts", "1000 tshirts", 4, 1.0),
    ("the", "a", 4, 1.0),  # nothing is left of either
]


@pytest.mark.trap("vqa-3")
@pytest.mark.parametrize(("prediction", "answer", "count", "score"), DIVIDED_2021)
def test_2021_divided(prediction, answer, count, score):
    assert vqa_accuracy(prediction, answers((answer, count), ("zebra", 10 - count)), "2021") == score


@pytest.mark.trap("vqa-4")
def test_the_rule_is_2017_by_default():
    assert vqa_accuracy("Yes", ["yes"] * 10) == 1.0


def test_no_answer_is_an_error_of_the_user():
    with pytest.raises(UserError, match="no human answer"):
        vqa_accuracy("yes", [])


def test_unknown_rule():
    with pytest.raises(ValueError, match="2019"):
        vqa_accuracy("yes", ["yes"] * 10, "2019")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("prediction", "answer", "score"),
    [
        ("table", "table", 1.0),
        ("The Table.", "table", 1.0),
        ("table", "the table", 1.0),
        ("two", "2", 1.0),
        ("2", "two", 1.0),
        ("lamp, chair", "lamp,chair", 1.0),
        ("chair, lamp", "lamp, chair", 0.0),
        ("tables", "table", 0.0),
        ("", "table", 0.0),
        ("", "a", 0.0),  # normalised, both are empty
        ("the", "a", 0.0),
        ("A", "a", 1.0),
    ],
)
def test_exact_match(prediction, answer, score):
    assert exact_match(prediction, answer) == score


def test_answers_are_normalised_as_the_vocabulary_is():
    assert vqa.normalise is answer_text.normalise
