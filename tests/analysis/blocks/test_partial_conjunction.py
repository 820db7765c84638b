"""k of N, against the definition and by hand."""

import numpy as np
import pytest

from amad_bench.analysis.blocks.partial_conjunction import n_better


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        ([], 0),
        ([0.05], 1),
        ([0.051], 0),
        ([0.02, 0.02], 2),  # 2 x .02, then .02
        ([0.03, 0.001], 2),
        ([0.03, 0.03], 0),  # 2 x .03 is above, though the second would not be
        ([0.004, 0.012, 0.9, 0.02, 0.9], 2),  # 5 x .004, 4 x .012, 3 x .02
        ([0.001] * 7, 7),
    ],
)
def test_by_hand(p_values: list[float], expected: int) -> None:
    assert n_better(p_values) == expected


def test_as_defined() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        p_N = rng.beta(0.3, 2, size=rng.integers(1, 9))
        adjusted = [(len(p_N) - u + 1) * sorted(p_N)[u - 1] for u in range(1, len(p_N) + 1)]
        holding = [u for u in range(1, len(p_N) + 1) if max(adjusted[:u]) <= 0.05]
        assert n_better(p_N) == max(holding, default=0)


def test_no_p_value_is_an_error() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        n_better([0.1, float("nan")])
