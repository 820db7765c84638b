"""How sharp an alignment of heads is, and whether it still moves.

`alignment_HG`: how much each teacher head listens to each student head, rows sum to 1; what losses that align
heads keep in `alignment`, by "site/student layer". Pure functions; all return plain floats.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def alignment_entropy(alignment_HG: Tensor) -> float:
    """Mean over teacher heads of -sum_g a log a, in nats: 0 = one student head each, log G = all alike."""
    return torch.special.entr(alignment_HG.double()).sum(1).mean().item()


def largest_weight(alignment_HG: Tensor) -> float:
    """The largest weight of any pair of heads, in [1/G, 1]."""
    return alignment_HG.max().item()


def describe_alignment(
    alignments: Mapping[str, Tensor], previous: Mapping[str, Tensor]
) -> dict[str, dict[str, Any]]:
    """{"alignment": {key: {entropy, largest_weight, changed_share, weights}}}, {} without alignments.

    changed_share is against `previous`, None for a key that it lacks.
    """
    described = {}
    for key, alignment_HG in alignments.items():
        described[key] = {
            "entropy": alignment_entropy(alignment_HG),
            "largest_weight": largest_weight(alignment_HG),
            "changed_share": changed_share(previous[key], alignment_HG) if key in previous else None,
            "weights": [[round(weight, 4) for weight in row] for row in alignment_HG.tolist()],
        }
    return {"alignment": described} if described else {}


def changed_share(previous_HG: Tensor, alignment_HG: Tensor) -> float:
    """Share of teacher heads whose best student head is another one than before.

    Raises ValueError for alignments of different head counts.
    """
    if previous_HG.shape != alignment_HG.shape:
        raise ValueError(
            f"alignments of different heads: {tuple(previous_HG.shape)} and {tuple(alignment_HG.shape)}"
        )
    return (previous_HG.argmax(1) != alignment_HG.argmax(1)).double().mean().item()
