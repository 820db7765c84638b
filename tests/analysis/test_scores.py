"""Scores of different examples are never put side by side."""

import numpy as np
import pandas as pd
import pytest

from amad_bench.analysis.scores import ScoreBook
from amad_bench.runtime.errors import UserError


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
    assert matrix.clusters.tolist() == ["a", "a", "b"]
    np.testing.assert_allclose(matrix.scores_S(), [10, 10])


def test_part_of_a_matrix_is_those_examples_in_all_its_arrays():
    book = ScoreBook(pd.concat([page("r", ["a1", "a2", "b1"]), page("s", ["a1", "a2", "b1"])]))
    part = book.matrix(["r", "s"], "exact_match").part(pd.Index(["b1", "a2", "not here"]))
    np.testing.assert_allclose(part.values, [[10, 20], [10, 20]])
    assert part.examples.tolist() == ["a2", "b1"]
    assert part.clusters.tolist() == ["a", "b"]
    np.testing.assert_allclose(part.scores_S(), [15, 15])


@pytest.mark.parametrize("others", [["a1", "a2"], ["a1", "a2", "c1"]])
def test_other_examples_are_refused(others):
    book = ScoreBook(pd.concat([page("r", ["a1", "a2", "b1"]), page("s", others)]))
    with pytest.raises(UserError, match="exact_match of run s: its example_ids on the split test"):
        book.matrix(["r", "s"], "exact_match")
