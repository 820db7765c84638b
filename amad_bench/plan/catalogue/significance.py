"""Tests of significance: what decides whether a difference would be seen again."""

from dataclasses import dataclass

from amad_bench.plan.catalogue.options import by_name


@dataclass(frozen=True)
class SignificanceTest:
    """A test; its function is `assess` in amad_bench/analysis/significance/<name>.py.

    seeds: how many it needs at least.
    """

    name: str
    label: str
    seeds: int = 1
    version: int = 1


SIGNIFICANCE_TESTS: dict[str, SignificanceTest] = by_name(
    SignificanceTest("weighted_t", "weighted quantile of t (Cochran and Cox 1950)")
)
