"""Half a period of a cosine, without restart: BLIP's."""

import math


def factor(left: float) -> float:
    """The share of the learning rate. left: share of the steps after the warm-up that are still to come."""
    return 0.5 - 0.5 * math.cos(math.pi * left)
