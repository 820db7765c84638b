"""How sharp an alignment of heads is, and whether it still moves.

`alignment_HG`: how much each teacher head listens to each student head, rows sum to 1; what losses that align
heads keep in `alignment`, by "site/student layer". Pure functions; all return plain floats.
"""

import torch
from torch import Tensor


def alignment_entropy(alignment_HG: Tensor) -> float:
    """Mean over teacher heads of -sum_g a log a, in nats: 0 = one student head each, log G = all alike."""
    return torch.special.entr(alignment_HG.double()).sum(1).mean().item()


def largest_weight(alignment_HG: Tensor) -> float:
    """The largest weight of any pair of heads, in [1/G, 1]."""
    return alignment_HG.max().item()


def changed_share(previous_HG: Tensor, alignment_HG: Tensor) -> float:
    """Share of teacher heads whose best student head is another one than before.

    Raises ValueError for alignments of different head counts.
    """
    if previous_HG.shape != alignment_HG.shape:
        raise ValueError(
            f"alignments of different heads: {tuple(previous_HG.shape)} and {tuple(alignment_HG.shape)}"
        )
    return (previous_HG.argmax(1) != alignment_HG.argmax(1)).double().mean().item()
