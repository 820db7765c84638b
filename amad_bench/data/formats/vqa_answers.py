"""Answers of VQA v2 that a classifier could give, and the score that each earns at a question.

The conventions are those of the bottom-up-attention code (hengyuan-hu/bottom-up-attention-vqa,
tools/compute_softscore.py), which LXMERT and VL-T5 inherited.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from amad_bench.data.formats.records import RESTORE
from amad_bench.data.text.answer_text import normalise
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_json

ANSWERS = 3129  # of train2014 + val2014
_OCCURRENCES = 9
_SCORES = (0.0, 0.3, 0.6, 0.9, 1.0)  # by how many annotators gave it; the last one also for more


def common_answers(multiple_choice_answers: Iterable[str]) -> frozenset[str]:
    """The normalised answers that are the multiple-choice answer of at least 9 questions.

    Officially of train2014 and val2014 together. Normalising leaves nothing of a few ("a", "?"), so that the
    official vocabulary has "" too.
    """
    counts = Counter(normalise(answer) for answer in multiple_choice_answers)
    return frozenset(answer for answer, count in counts.items() if count >= _OCCURRENCES)


def read_answers(path: Path) -> frozenset[str]:
    """The vocabulary of VL-T5's trainval_ans2label.json: {answer: label}, the labels 0, 1, 2 and so on."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected an object of answer -> label; {RESTORE}")
    owner: dict[Any, str] = {}
    for answer, label in content.items():
        if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < len(content):
            raise UserError(
                f"{path}: answer {answer!r}: its label must be a whole number from 0 to {len(content) - 1},"
                f" found {label!r}; {RESTORE}"
            )
        if label in owner:
            raise UserError(
                f"{path}: answers {owner[label]!r} and {answer!r} have the same label {label}; {RESTORE}"
            )
        owner[label] = answer
    return frozenset(content)


def answer_scores(answers: Sequence[str], vocabulary: frozenset[str] | None) -> dict[str, float]:
    """answer -> .3, .6, .9 or 1 where 1, 2, 3 or at least 4 annotators gave it, in order of appearance.

    VL-T5 is taught one of a question's answers, drawn by and weighed with its score; BLIP learns
    `Example.target` alone. Only of the vocabulary's answers (None: of all) and of none that is empty: there
    is nothing to teach.
    Answers count as they were written, as in the official code; only the vocabulary is normalised.
    """
    return {
        answer: _score(count)
        for answer, count in Counter(answers).items()
        if answer and (vocabulary is None or answer in vocabulary)
    }


def domain(answers: Sequence[str], vocabulary: frozenset[str]) -> str:
    """ "in" where an answer of the vocabulary earns as much as the best answer of all, else "out".

    VL-T5's files mark these questions `is_topk_optimal`: 24,722 of the 26,280 Karpathy test questions, 5.93 %
    are out. By this rule 5.92 % are out among the 51,023 questions of vqa-v2-subset, weighted by answer type,
    with the official vocabulary; 2.0 % if any vocabulary answer sufficed (and then a classifier would score 0
    out of domain, where UNITER has 10.0), 6.9 % by the multiple-choice answer.
    """
    counts = Counter(answers)
    best = max(map(_score, counts.values()))
    reached = max((_score(count) for answer, count in counts.items() if answer in vocabulary), default=0.0)
    return "in" if reached == best else "out"


def _score(count: int) -> float:
    return _SCORES[min(count, len(_SCORES) - 1)]
