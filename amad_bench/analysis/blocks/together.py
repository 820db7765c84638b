"""A contrast over several blocks: one mean, and in how many of them it is there.

Axis: K units, each a block or several that are averaged.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from amad_bench.analysis.blocks.across import BLOCKS, SCOPE, across
from amad_bench.analysis.blocks.differences import BlockDifference, in_unit, unit_of
from amad_bench.analysis.blocks.partial_conjunction import n_better
from amad_bench.analysis.blocks.sharing import counted_as, starts
from amad_bench.analysis.blocks.units import units_of
from amad_bench.analysis.estimates import Estimate
from amad_bench.analysis.influence import Floats
from amad_bench.analysis.significance.outcome import one_sided_p


@dataclass(frozen=True)
class Together:
    """A contrast over several blocks.

    estimate: of the mean over the units that count, in `unit`. differences_K: theirs. counted_as: by block,
    the name of the block that it counts as one with, or its own. n_averaged: blocks that count as one with
    others. share_of_images: of the blocks' variance, what images make; NaN where no block varies.
    n_better: in how many of the n_tested units with two seeds or more the effect is there. note: which blocks
    are averaged, left out or share images. scope: what the statement speaks about.
    """

    estimate: Estimate
    unit: str
    differences_K: Floats
    counted_as: tuple[str, ...]
    n_averaged: int
    share_of_images: float
    n_better: int
    n_tested: int
    note: str
    scope: str

    @property
    def n_blocks(self) -> int:
        return len(self.differences_K)

    @property
    def df(self) -> float:
        """Degrees of freedom of the t over the blocks; NaN where nothing is tested."""
        return self.estimate.df(BLOCKS)


def together(blocks: Sequence[BlockDifference], direction: float = 1.0) -> Together:
    """The mean of a contrast over blocks; direction: the sign that "better" has.

    Blocks without a replicate that all arms have are left out; those that share something random are averaged
    or, where that is little, what they share is added to the variance (see `units_of`).
    """
    unit, counted = unit_of(blocks), [block.name for block in blocks]
    kept = [place for place, block in enumerate(blocks) if math.isfinite(in_unit(block, unit).value)]
    own, estimates = [blocks[place] for place in kept], [in_unit(blocks[place], unit) for place in kept]
    units = units_of(own, estimates)
    for members in units.members:
        for place in members:
            counted[kept[place]] = own[members[0]].name
    differences_K = np.array(
        [fmean(estimates[place].value for place in members) for members in units.members]
    )
    p_values = [_p_value([own[place] for place in members], direction) for members in units.members]
    tested = [p_value for p_value in p_values if not math.isnan(p_value)]
    estimate = across(
        differences_K,
        tolerance=max((found.tolerance for found in estimates), default=0.0),
        n_seeds=min((found.n_seeds for found in estimates), default=0),
        n_examples=sum(found.n_examples for found in estimates),
        n_clusters=sum(found.n_clusters for found in estimates),
        common=units.common,
    )
    left = len(blocks) - len(kept)
    notes = [*units.notes, *([f"left out, without scores of all arms or of ce: {left}"] if left else [])]
    return Together(
        estimate=estimate,
        unit=unit,
        differences_K=differences_K,
        counted_as=tuple(counted),
        n_averaged=sum(len(members) for members in units.members if len(members) > 1),
        share_of_images=units.share_of_images,
        n_better=n_better(tested),
        n_tested=len(tested),
        note="; ".join(notes),
        scope=f"{SCOPE}, this pre-training" if _share_a_start(blocks) else SCOPE,
    )


def _p_value(blocks: Sequence[BlockDifference], direction: float) -> float:
    """One-sided p of a unit: the effect is there in all of its blocks, which are not independent.

    NaN where one has a single seed, which says nothing about methods.
    """
    p_values = [one_sided_p(block.p_value, direction * block.estimate.value) for block in blocks]
    one_seed = any(block.estimate.n_seeds < 2 for block in blocks)
    return math.nan if one_seed or any(map(math.isnan, p_values)) else max(p_values)


def _share_a_start(blocks: Sequence[BlockDifference]) -> bool:
    found = [starts(block.runs) for block in blocks]
    return len(set(counted_as(found))) < len(found)
