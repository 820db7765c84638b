"""Numbers as readers see them."""

import math

from amad_bench.analysis.printed.table import NOTHING


def points(value: float, digits: int = 1, signed: bool = False) -> str:
    """1.25 as "1.3" (or "+1.3"), with a real minus; NOTHING for NaN."""
    if math.isnan(value):
        return NOTHING
    return f"{value:{'+' if signed else ''}.{digits}f}".replace("-", "−")


def interval(low: float, high: float, digits: int = 1) -> str:
    """ "[−0.4, 1.2]"; NOTHING where there is none."""
    if math.isnan(low) or math.isnan(high):
        return NOTHING
    return f"[{points(low, digits)}, {points(high, digits)}]"


def p_value(value: float) -> str:
    """Three decimals, or "< .001"; no zero before the point."""
    if math.isnan(value):
        return NOTHING
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def share(value: float) -> str:
    """0.5 as "50 %"; NOTHING for NaN."""
    return NOTHING if math.isnan(value) else f"{100 * value:.0f} %"
