"""Oracle: METEOR 1.5 through pycocoevalcap; its formula is checked against its own corpus scores."""

import json

import numpy as np
import pytest

from amad_bench.scoring import meteor
from amad_bench.scoring.captions import score_captions
from amad_bench.scoring.java import JavaFailed
from amad_bench.scoring.meteor import meteor_scores
from amad_bench.scoring.metrics import corpus_score
from tests.scoring import pycocoevalcap_oracle
from tests.scoring.test_captions import HYPOTHESES, REFERENCES, nlg_eval_cases

# What the jar answered for eight captions of COCO val2017 against their other captions: the statistics, the
# score of each and of all. The 4th hypothesis is empty, the 6th is one of its references.
STATISTICS = """
10 11 4 5 4 4 3 3 0 0 0 0 0 0 0 0 0 0 0 0 2 7 7
9 8 3 4 2 2 1 1 0 0 0 0 0 0 0 0 0 0 0 0 1 3 3
8 10 3 4 2 2 3 3 0 0 0 0 0 0 0 0 1 1 0 0 5 6 6
0 14 0 7 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
10 9 6 4 1 1 1 1 0 0 0 0 0 0 0 0 0 0 0 0 2 2 2
11 11 3 3 8 8 3 3 0 0 0 0 0 0 0 0 0 0 0 0 1 11 11
2 8 0 3 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
10 8 5 3 3 3 2 2 0 0 0 0 0 0 0 0 0 0 0 0 3 5 5
""".strip().splitlines()
EACH = [0.3498759354940685, 0.2166259964541511, 0.21271180252630728, 0.0, 0.08488063660477453, 1.0, 0.0]
EACH += [0.27546388089873963]


def jar(answers: list[str]) -> str:
    """A shell script's body that answers like METEOR."""
    return "\n".join(f"read -r line; echo '{answer}'" for answer in answers)


def test_statistics_and_scores_of_one_start(fake_java):
    # EVAL is answered by a line for each caption and one for all
    evaluations = ["\n".join(map(str, [*EACH[start : start + 4], 0.25])) for start in (0, 4)]
    fake_java(jar([*STATISTICS[:4], evaluations[0], *STATISTICS[4:], evaluations[1]]))
    captions = [(["a dog"], "a dog")] * 4
    (total, each, first), (_, _, second) = meteor_scores([captions, captions])
    assert total == 0.25
    assert each == EACH[:4]
    for place, (score, statistics) in enumerate(zip(EACH, [*first, *second], strict=True)):
        assert corpus_score("METEOR", statistics) == pytest.approx(score, abs=1e-15)
        # METEOR leaves the chunk of a word for word match out of its sums
        expected = STATISTICS[place].split()
        assert statistics == [
            float(n) for n in expected[:20] + ([expected[20]], ["0"])[place == 5] + expected[21:]
        ]


def test_many_sums_at_once():
    statistics = np.array([[float(number) for number in row.split()] for row in STATISTICS])
    statistics[5, 20] = 0.0
    scores = corpus_score("METEOR", statistics.reshape(2, 4, 23))
    assert isinstance(scores, np.ndarray)
    assert scores.ravel() == pytest.approx(EACH, abs=1e-15)


def test_what_was_scored_before_java_died_is_kept(fake_java):
    fake_java(jar([STATISTICS[0], "0.5\n0.5", STATISTICS[1]]) + "\necho 'heap space' >&2; exit 3")
    results = meteor_scores([[(["a"], "a")], [(["b"], "b"), (["c"], "c")]])
    assert next(results)[0] == 0.5
    with pytest.raises(JavaFailed, match="heap space"):
        next(results)


@pytest.mark.parametrize("answer", ["1 2 3", "NaN is no statistic", "", " ".join(["NaN"] * 23)])
def test_an_answer_that_is_none(fake_java, answer):
    fake_java(jar([answer, "0.5\n0.5"]))
    with pytest.raises(JavaFailed, match="23 numbers were expected"):
        list(meteor_scores([[(["a"], "a")]]))


def test_a_meteor_that_hangs_is_stopped(fake_java, monkeypatch):
    monkeypatch.setattr(meteor, "_START_SECONDS", 0.2)  # and 0.1 s for each of its captions
    fake_java("exec /bin/sleep 30")
    with pytest.raises(JavaFailed, match=r"java was stopped after 0.3 s"):
        list(meteor_scores([[(["a"], "a")]]))


@pytest.mark.slow
@pytest.mark.usefixtures("java_on_path")
def test_equals_pycocoevalcap_and_its_statistics_add_up(repository):
    gts = pycocoevalcap_oracle.tokens(REFERENCES)
    res = pycocoevalcap_oracle.tokens({key: [HYPOTHESES[key]] for key in REFERENCES})
    expected, expected_each = pycocoevalcap_oracle.meteor(gts, res)
    scores = score_captions(REFERENCES, HYPOTHESES, ["METEOR"])
    assert scores.corpus["METEOR"] == expected
    assert scores.per_example["METEOR"].tolist() == expected_each

    fixture = json.loads(
        (repository / "tests/scoring/fixtures/captions_pycocoevalcap.json").read_text(encoding="utf-8")
    )
    scores = score_captions(fixture["references"], fixture["hypotheses"], ["METEOR"])
    assert scores.corpus["METEOR"] == fixture["corpus"]["METEOR"]
    assert scores.per_example["METEOR"].tolist() == fixture["per_example"]["METEOR"]
    summed = np.sum(scores.statistics["METEOR"], axis=0)
    assert corpus_score("METEOR", summed) == pytest.approx(fixture["corpus"]["METEOR"], abs=1e-9)


@pytest.mark.slow
@pytest.mark.usefixtures("beside_umlauts")
def test_no_score_depends_on_the_locale_or_the_path(monkeypatch):
    monkeypatch.setenv("_JAVA_OPTIONS", "-Duser.language=de -Duser.country=DE")  # numbers with a comma
    ((total, each, _),) = meteor_scores([[(["a dog on the couch"], "a dog upon the sofa")]])
    assert [total, *each] == pytest.approx([0.38008123644787195] * 2, abs=1e-15)  # as METEOR itself prints it


@pytest.mark.slow
def test_published_nlg_eval_meteor(shared_data):
    # On white-space tokens, as published: METEOR sees the full stops that the PTB tokenizer drops.
    cases = list(nlg_eval_cases(shared_data / "coco-caption-eval").values())
    corpora = [
        [(references[key], text) for key, text in hypotheses.items()] for references, hypotheses, _ in cases
    ]
    for (total, _, _), (_, _, published) in zip(meteor_scores(corpora), cases, strict=True):
        assert total == pytest.approx(published["METEOR"], abs=1e-6)
