"""Diagnostics of an alignment of heads: how sharp it is, and whether it still moves.

`alignment_HG`: how much each teacher head listens to each student head, rows sum to 1; what losses that align
heads return, by "site/student layer" (`Outcome`). Pure functions; all return plain floats.
"""

from collections.abc import Mapping
from typing import cast

from torch import Tensor

from amad_bench.losses.maps import entropies
from amad_bench.runtime.run_folder.steps import Alignment


def alignment_entropy(alignment_HG: Tensor) -> float:
    """Mean over teacher heads of -sum_g a log a, in nats: 0 = one student head each, log G = all alike."""
    return entropies(alignment_HG.double()).sum(1).mean().item()


def largest_weight(alignment_HG: Tensor) -> float:
    """The largest weight of any pair of heads, in [1/G, 1]."""
    return alignment_HG.max().item()


def describe_alignment(
    alignments: Mapping[str, Tensor], previous: Mapping[str, Tensor]
) -> dict[str, Alignment]:
    """Alignments as the step log has them; changed_share is against `previous`, None for a key it lacks."""
    described: dict[str, Alignment] = {}
    for key, alignment_HG in alignments.items():
        rows = cast(list[list[float]], alignment_HG.tolist())  # pyright: ignore[reportUnknownMemberType]
        described[key] = Alignment(
            entropy=alignment_entropy(alignment_HG),
            largest_weight=largest_weight(alignment_HG),
            changed_share=changed_share(previous[key], alignment_HG) if key in previous else None,
            rows=[[round(weight, 4) for weight in row] for row in rows],
        )
    return described


def changed_share(previous_HG: Tensor, alignment_HG: Tensor) -> float:
    """Share of teacher heads whose best student head is another one than before.

    Raises ValueError for alignments of different head counts.
    """
    if previous_HG.shape != alignment_HG.shape:
        raise ValueError(
            f"alignments of different heads: {tuple(previous_HG.shape)} and {tuple(alignment_HG.shape)}"
        )
    return (previous_HG.argmax(1) != alignment_HG.argmax(1)).double().mean().item()
