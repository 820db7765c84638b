"""VQA accuracy by both rules of the official evaluator, quirks kept, and exact match for one-answer data."""

from typing import Literal

from amad_bench.data.text.answer_text import normalise, one_line, without_punctuation
from amad_bench.runtime.errors import UserError
from amad_bench.scoring.measured import Corpora, Measured, mean_of_examples, only_references

Rule = Literal["2017", "2021"]


def measure_vqa_accuracy(corpora: Corpora) -> list[Measured]:
    return mean_of_examples(corpora, vqa_accuracy)


def measure_vqa_accuracy_2021(corpora: Corpora) -> list[Measured]:
    return mean_of_examples(corpora, lambda prediction, answers: vqa_accuracy(prediction, answers, "2021"))


def measure_exact_match(corpora: Corpora) -> list[Measured]:
    for rows in corpora.rows:
        only_references(rows, "exact match")
    return mean_of_examples(corpora, lambda prediction, answers: exact_match(prediction, answers[0]))


def vqa_accuracy(prediction: str, answers: list[str], rule: Rule = "2017") -> float:
    """Share in [0, 1] by the official evaluator: min(1, matches / 3), mean over leaving out each annotator.

    `rule` "2017" (VL-T5's evaluator, most published numbers): the prediction is normalised fully, the answers
    get the punctuation step only, and only where they are not unanimous. "2021": both are normalised fully
    where the answers are not unanimous; else both are compared as they are, blanks at the ends aside.
    UserError without answers. Source: VQA evaluation tools (Antol et al. 2015, Goyal et al. 2017).
    """
    if not answers:
        raise UserError(
            f"VQA accuracy of {prediction!r}: no human answer; give the question's answers (officially ten)"
        )
    if rule == "2017":
        prediction = normalise(prediction)
        if len(set(answers)) > 1:
            answers = [without_punctuation(answer) for answer in answers]
    elif rule == "2021":
        prediction, answers = one_line(prediction), [one_line(answer) for answer in answers]
        if len(set(answers)) > 1:
            prediction, answers = normalise(prediction), [normalise(answer) for answer in answers]
    else:
        raise ValueError(f"rule {rule!r}: expected '2017' or '2021'")
    matches = [answer == prediction for answer in answers]
    total = sum(matches)
    # In thirds, so that the sums are exact: the scores of ten answers are 0, .3, .6, .9 and 1.
    return sum(min(3, total - match) for match in matches) / (3 * len(answers))


def exact_match(prediction: str, answer: str) -> float:
    """1.0 where both texts are equal after the official normalisation, else 0.0; for one-answer data sets."""
    predicted, expected = normalise(prediction), normalise(answer)
    if predicted or expected:
        return float(predicted == expected)
    # Normalising left nothing ("a", "?"): an empty prediction must not count as right.
    return float(prediction.strip().lower() == answer.strip().lower())
