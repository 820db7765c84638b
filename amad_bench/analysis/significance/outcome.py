"""Outcome of a test of significance: of a mean against 0."""

import math
from dataclasses import dataclass

ALPHA = 0.05


@dataclass(frozen=True)
class Outcome:
    """ci_*: the interval at ALPHA; df: degrees of freedom of the t that it was made with, NaN without one.

    method: how it was computed. trouble: why nothing could be, or "".
    """

    ci_low: float = math.nan
    ci_high: float = math.nan
    p_value: float = math.nan
    df: float = math.nan
    method: str = ""
    trouble: str = ""
