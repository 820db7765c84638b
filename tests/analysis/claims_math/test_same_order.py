"""The order of losses at two budgets, by hand."""

import pytest

from amad_bench.analysis.claims_math.same_order import same_order

NAN = float("nan")


@pytest.mark.trap("stat-49")
@pytest.mark.parametrize(
    ("steps", "flops", "verdict"),
    [
        ([(2, 0.01), (-1, 0.02), (1, 0.4)], [(1, 0.03), (-2, 0.01), (-3, 0.01)], "supported"),
        ([(2, 0.01), (-1, 0.02)], [(1, 0.03), (-2, 0.2)], "inconclusive"),
        ([(2, 0.01), (-1, 0.02)], [(1, 0.03), (2, 0.2)], "inconclusive"),
        ([(2, 0.01), (-1, 0.02)], [(1, 0.03), (2, 0.05)], "contradicted"),
        ([(2, 0.2), (-1, 0.3)], [(-1, 0.001), (2, 0.001)], "inconclusive"),
        ([(2, 0.01), (NAN, NAN)], [(1, 0.03), (NAN, NAN)], "supported"),
        ([(2, 0.01)], [(NAN, NAN)], "not testable here"),
        ([(NAN, NAN)], [(2, 0.01)], "not testable here"),
        ([], [], "not testable here"),
    ],
)
def test_by_hand(steps: list, flops: list, verdict: str) -> None:
    (first, p_first), (second, p_second) = (
        ([value for value, _ in budget], [p for _, p in budget]) for budget in (steps, flops)
    )
    assert same_order((first, second), (p_first, p_second)).verdict == verdict


def test_the_pairs_are_named() -> None:
    order = same_order(([2, -1, 1, 3], [1, 2, -3, 1]), ([0.01, 0.02, 0.4, 0.01], [0.03, 0.05, 0.01, 0.3]))
    assert (order.separated, order.same, order.reversed) == ((0, 1, 3), (0,), (1,))


def test_pairs_of_one_budget_only_are_an_error() -> None:
    with pytest.raises(ValueError, match="per pair and budget"):
        same_order(([1.0], [1.0, 2.0]), ([0.1], [0.1, 0.1]))
