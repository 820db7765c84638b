"""Scores of different examples are never put side by side."""

import numpy as np
import pandas as pd
import pytest

from amad_bench.analysis.scores import ScoreBook
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.parquet import read_long


def page(run_id, examples, metric="exact_match"):
    values = np.arange(len(examples), dtype=float)
    return pd.DataFrame(
        {
            "run_id": run_id,
            "split": "test",
            "metric": metric,
            "example_id": examples,
            "cluster_id": [example[0] for example in examples],
            "value": values / 10,
            "statistics": None,
        }
    )


def test_matrix_is_in_points_and_in_the_order_of_examples():
    book = ScoreBook(pd.concat([page("r", ["b1", "a1", "a2"]), page("s", ["a2", "a1", "b1"])]))
    matrix = book.matrix(["r", "s"], "exact_match")
    np.testing.assert_allclose(matrix.values, [[10, 20, 0], [10, 0, 20]])
    assert len(set(matrix.clusters[:2])) == 1 != len(set(matrix.clusters[1:]))
    np.testing.assert_allclose(matrix.scores_S(), [10, 10])


def test_part_of_a_matrix_is_those_examples_in_all_its_arrays():
    book = ScoreBook(pd.concat([page("r", ["a1", "a2", "b1"]), page("s", ["a1", "a2", "b1"])]))
    part = book.matrix(["r", "s"], "exact_match").part(pd.Index(["b1", "a2", "not here"]))
    np.testing.assert_allclose(part.values, [[10, 20], [10, 20]])
    assert part.examples.tolist() == ["a2", "b1"]
    assert len(set(part.clusters)) == 2
    np.testing.assert_allclose(part.scores_S(), [15, 15])


@pytest.mark.parametrize("others", [["a1", "a2"], ["a1", "a2", "c1"]])
def test_other_examples_are_refused(others):
    book = ScoreBook(pd.concat([page("r", ["a1", "a2", "b1"]), page("s", others)]))
    with pytest.raises(UserError, match="exact_match of run s: its example_ids on the split test"):
        book.matrix(["r", "s"], "exact_match")


def test_statistics_are_sliced_at_their_page(tmp_path):
    """Of one run two examples, of the other three; a mean metric without statistics between them."""
    bleu = [
        page("r", ["a1", "a2"], "TER"),
        page("r", ["a1"], "exact_match"),
        page("s", ["a2", "a1", "b1"], "TER"),
    ]
    numbers = iter(range(100))
    for own in (bleu[0], bleu[2]):
        own["statistics"] = pd.Series([[next(numbers), next(numbers)] for _ in range(len(own))], dtype=object)
    scores = pd.concat(bleu, ignore_index=True)
    scores.astype({"run_id": "str"}).to_parquet(tmp_path / "scores.parquet", index=False)
    for frame in (scores, scores.sample(frac=1, random_state=0), read_long(tmp_path / "scores.parquet", "")):
        book = ScoreBook(frame)
        assert book.matrix(["r"], "TER").values.tolist() == [[[0, 1], [2, 3]]]
        assert book.matrix(["s"], "TER").values.tolist() == [[[6, 7], [4, 5], [8, 9]]]
        assert book.matrix(["r"], "exact_match").values.tolist() == [[0]]
        assert book.having(["r", "s"], "exact_match") == ["r"]


@pytest.mark.parametrize("statistics", [None, [1.0], [1.0, np.nan]])
def test_statistics_that_are_no_numbers_are_refused(statistics):
    broken = page("r", ["a1", "a2"], "TER")
    broken["statistics"] = pd.Series([[1.0, 2.0], statistics], dtype=object)
    with pytest.raises(UserError, match="TER of run r: example a2 has a score that is no number"):
        ScoreBook(broken).matrix(["r"], "TER")


def test_no_scores_are_a_book_without_pages():
    assert ScoreBook(page("r", []).head(0)).having(["r"], "exact_match") == []
