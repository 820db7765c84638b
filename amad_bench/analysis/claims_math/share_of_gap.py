"""Share of a gap that a difference makes up, with an interval that is honest where the gap may be 0.

Source: Fieller (1954): a share s belongs to the interval where D - s G is not rejected. Inverted by numbers,
since the critical value depends on s, too.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import root_scalar

from amad_bench.analysis.estimates import Estimate
from amad_bench.analysis.significance.outcome import ALPHA
from amad_bench.analysis.significance.weighted_t import critical_value

Kind = Literal["interval", "ray", "two rays", "whole line"]
STEPS = 360  # directions that are looked at
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Share:
    """D / G, and the shares that are not rejected: from low to high.

    kind: a ray has an infinite end. Two rays are the shares up to `high` and those from `low` on, where high
    is below low: the gap may be 0. The whole line: nothing is known. trouble: why nothing could be computed.
    """

    value: float = math.nan
    low: float = -math.inf
    high: float = math.inf
    kind: Kind = "whole line"
    trouble: str = ""

    def contains(self, share: float) -> bool:
        """Whether a share is not rejected."""
        if self.kind == "two rays":
            return share <= self.high or share >= self.low
        return self.low <= share <= self.high


def share_of_gap(combined: Callable[[float, float], Estimate], level: float = ALPHA) -> Share:
    """The share D / G of a gap G that a difference D makes up, with its interval.

    combined(a, b): the estimate of a D + b G. Both may share arms: it knows how they vary together. Where the
    shares that are not rejected are several pieces, which only a critical value that depends on s can make,
    the largest rejected piece is left out and the rest is called not rejected.
    """
    of_difference, of_gap = combined(1.0, 0.0), combined(0.0, 1.0)
    if trouble := of_difference.trouble or of_gap.trouble:
        return Share(trouble=trouble)
    if not of_difference.varies or not of_gap.varies:
        return Share(trouble="no variation between seeds or clusters: nothing to hold the share against")
    # Both in standard errors: a direction (cos, sin), and its opposite, stand for the share tan * unit.
    errors = math.sqrt(of_difference.variance), math.sqrt(of_gap.variance)
    unit = errors[0] / errors[1]

    def excess(angle: float) -> float:
        """Above 0 where the share is rejected."""
        tested = combined(math.cos(angle) / errors[0], -math.sin(angle) / errors[1])
        if not tested.varies:  # the two vary as one
            return abs(tested.value) - tested.tolerance
        return abs(tested.value) - critical_value(tested.parts, level) * math.sqrt(tested.variance)

    share = of_difference.value / of_gap.value if of_gap.value else math.nan
    angles = -math.pi / 2 + np.arange(STEPS) * math.pi / STEPS
    first, length = _longest([excess(angle) > 0 for angle in angles])
    if length in (0, STEPS):
        return Share(share)
    step = math.pi / STEPS
    start = angles[first]

    def end(inside: float, outside: float) -> float:
        return root_scalar(excess, bracket=(inside, outside), method="brentq", xtol=1e-12).root

    high = end(start, start - step)  # shares that are not rejected end where the rejected ones begin
    low = end(start + (length - 1) * step, start + length * step)
    kept = math.pi - (low - high)  # angle that is not rejected, from `low` on
    low = (low + math.pi / 2) % math.pi - math.pi / 2
    high = low + kept
    if abs(high - math.pi / 2) < _ROUNDING:
        return Share(share, math.tan(low) * unit, math.inf, "ray")
    if abs(low + math.pi / 2) < _ROUNDING:
        return Share(share, -math.inf, math.tan(high) * unit, "ray")
    kind = "two rays" if high > math.pi / 2 else "interval"
    return Share(share, math.tan(low) * unit, math.tan(high) * unit, kind)


def _longest(rejected: list[bool]) -> tuple[int, int]:
    """(place, length) of the longest run of True on a circle."""
    if all(rejected):
        return 0, len(rejected)
    start = rejected.index(False)
    best, run = (0, 0), 0
    for offset in range(1, len(rejected) + 1):
        run = run + 1 if rejected[(start + offset) % len(rejected)] else 0
        if run > best[1]:
            best = ((start + offset - run + 1) % len(rejected), run)
    return best
