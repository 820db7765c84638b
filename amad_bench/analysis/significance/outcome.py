"""Outcome of a test of significance: of an estimate against 0."""

import math
from dataclasses import dataclass

ALPHA = 0.05


@dataclass(frozen=True)
class Outcome:
    """ci_*: the interval at the test's level. p_value: two-sided. critical: what |estimate| over its standard
    error is held against at that level. NaN: the test has none. trouble: why nothing could be said, or "".
    """

    ci_low: float = math.nan
    ci_high: float = math.nan
    p_value: float = math.nan
    critical: float = math.nan
    trouble: str = ""


def one_sided_p(p_value: float, value: float) -> float:
    """p of the hypothesis that a number is 0 or less, from the two-sided p of a symmetric test of `value`."""
    return p_value / 2 if value > 0 else 1 - p_value / 2
