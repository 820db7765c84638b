"""Linear fall to 0."""


def factor(left: float) -> float:
    """The share of the learning rate. left: share of the steps after the warm-up that are still to come."""
    return left
