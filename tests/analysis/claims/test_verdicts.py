"""The verdict of a claim by hand-made p-values."""

import math

import pytest

from amad_bench.analysis.claims.verdicts import verdict

NAN = math.nan


@pytest.mark.trap("stat-80")
@pytest.mark.parametrize(
    ("p_values", "p_worse", "level", "word"),
    [
        ([0.025, 0.001], [0.975, 0.999], 0.05, "supported"),  # no Holm over the parts
        ([0.026, 0.001], [0.974, 0.999], 0.05, "inconclusive"),
        ([0.020, 0.001], [0.980, 0.999], 0.01, "inconclusive"),
        ([0.980, 0.001], [0.020, 0.999], 0.05, "inconclusive"),  # .020 x 2 after Holm
        ([0.990, 0.001], [0.010, 0.999], 0.05, "contradicted"),
        ([0.980], [0.020], 0.05, "contradicted"),
        ([NAN, 0.001], [NAN, 0.999], 0.05, "not testable here"),
        ([NAN, 0.990], [NAN, 0.010], 0.05, "contradicted"),  # of all parts one is wrong
        ([], [], 0.05, "inconclusive"),
    ],
)
def test_verdicts(p_values: list[float], p_worse: list[float], level: float, word: str) -> None:
    found = verdict(p_values, p_worse, level)
    assert found.word == word
    largest = NAN if not p_values or any(math.isnan(p) for p in p_values) else max(p_values)
    assert found.p_value == pytest.approx(largest, nan_ok=True)
