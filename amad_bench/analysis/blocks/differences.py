"""The difference of a contrast in each block, and all of them together.

Axis: K units, each a block or several that are averaged.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from amad_bench.analysis.blocks.across import BLOCKS, SCOPE, across
from amad_bench.analysis.blocks.partial_conjunction import n_better
from amad_bench.analysis.blocks.sharing import counted_as, drawn, photos, starts
from amad_bench.analysis.blocks.units import units_of
from amad_bench.analysis.comparisons import outcome_of
from amad_bench.analysis.estimates import Estimate
from amad_bench.analysis.influence import Floats
from amad_bench.analysis.significance.outcome import one_sided_p
from amad_bench.plan.run_config import head_pair

POINTS, PER_CENT = "points", "% of ce"


@dataclass(frozen=True)
class BlockDifference:
    """A contrast in one block.

    axes: values of the columns BLOCK. metric: its unit is points of it. estimate: of the contrast.
    with_failed: likewise, failed runs scored at the majority answer. n_failed: planned runs of each arm that
    failed. ce: mean score of the block's `ce` students, whatever the contrast: what differences on several
    metrics are held against; NaN without one. runs: rows of `runs` of all arms, and of their teachers.
    """

    axes: Mapping[str, Any]
    metric: str
    estimate: Estimate
    with_failed: Estimate
    n_failed: tuple[int, ...]
    ce: float
    runs: pd.DataFrame

    @property
    def name(self) -> str:
        """Short name: family, task, data set and heads."""
        axes = self.axes
        pair = head_pair(axes["teacher_heads"], axes["student_heads"], axes["student"])
        return f"{axes['family']} {axes['task']} {axes['dataset']} {pair}"

    @cached_property
    def p_value(self) -> float:
        """Two-sided p of the contrast in this block; NaN where it is not testable."""
        return outcome_of(self.estimate).p_value

    @cached_property
    def drawn(self) -> frozenset[str]:
        """Names of all that its runs are drawn from, images of real data aside."""
        return drawn(self.runs)

    @property
    def gap(self) -> float:
        """Teacher heads over student heads, at the side that is compared."""
        return self.axes["teacher_heads"] / self.axes["student_heads"]


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


def with_failed(block: BlockDifference) -> BlockDifference:
    """The block, its failed runs scored at the majority answer."""
    return replace(block, estimate=block.with_failed)


def unit_of(blocks: Sequence[BlockDifference]) -> str:
    """Points where all blocks share a metric, else per cent of each block's mean `ce` score."""
    return POINTS if len({block.metric for block in blocks}) <= 1 else PER_CENT


def in_unit(block: BlockDifference, unit: str) -> Estimate:
    """The block's estimate in a unit; NaN in per cent of a `ce` score that is missing or 0."""
    if unit == POINTS:
        return block.estimate
    return scaled(block.estimate, 100 / block.ce if block.ce > 0 else math.nan)


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """The estimate times a fixed number above 0."""
    parts = tuple(replace(part, variance=part.variance * factor**2) for part in estimate.parts)
    return replace(
        estimate, value=estimate.value * factor, parts=parts, tolerance=estimate.tolerance * factor
    )


def together(blocks: Sequence[BlockDifference], direction: float = 1.0) -> Together:
    """The mean of a contrast over blocks; direction: the sign that "better" has.

    Blocks without a replicate that all arms have are left out; those that share something random are averaged
    or, where that is little, what they share is added to the variance (see `units_of`).
    """
    unit, counted = unit_of(blocks), [block.name for block in blocks]
    kept = [place for place, block in enumerate(blocks) if math.isfinite(in_unit(block, unit).value)]
    own, estimates = [blocks[place] for place in kept], [in_unit(blocks[place], unit) for place in kept]
    drawn_by_block = [block.drawn for block in own]
    units = units_of(drawn_by_block, [photos(block.runs) for block in own], estimates)
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
