"""The difference of a contrast in each block, and all of them together.

Axis: K blocks.
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
from amad_bench.analysis.comparisons import outcome_of
from amad_bench.analysis.estimates import CLUSTERS, Estimate
from amad_bench.analysis.influence import Floats
from amad_bench.analysis.significance.outcome import one_sided_p
from amad_bench.plan.run_config import head_pair

POINTS, PER_CENT = "points", "% of ce"
LARGEST_SHARE = (
    0.1  # of the variance, that images of one real data set may make in blocks that are kept apart
)


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
        """What its runs are drawn from, images of real data aside."""
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
    n_better: in how many of the n_tested units with two seeds or more the effect is there. note: why blocks
    are averaged, or not testable. scope: what the statement speaks about.
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

    Blocks without a replicate that all arms have are left out. Blocks that share a teacher, the order of data
    or generated images are averaged and count as one; those that share only images of real data where these
    make a tenth of the variance or more.
    """
    unit = unit_of(blocks)
    estimates = [in_unit(block, unit) for block in blocks]
    kept = [place for place, found in enumerate(estimates) if math.isfinite(found.value)]
    share = share_of_images([estimates[place] for place in kept])
    first, reasons = _units([blocks[place] for place in kept], share)
    if left := len(blocks) - len(kept):
        reasons.append(f"left out, without scores of all arms or of ce: {left}")
    members = {unit_place: [kept[i] for i, f in enumerate(first) if f == unit_place] for unit_place in first}
    differences_K = np.array([fmean(estimates[i].value for i in own) for own in members.values()])
    p_values = [
        max(one_sided_p(blocks[i].p_value, direction * blocks[i].estimate.value) for i in own)
        for own in members.values()  # in all blocks of a unit, since these are not independent
        if all(estimates[i].n_seeds > 1 and not math.isnan(blocks[i].p_value) for i in own)
    ]
    counted = [block.name for block in blocks]
    for unit_place, own in members.items():
        for place in own:
            counted[place] = blocks[kept[unit_place]].name
    seeds = [estimates[place].n_seeds for place in kept]
    estimate = across(
        differences_K,
        tolerance=max(
            (found.tolerance for found in estimates if math.isfinite(found.tolerance)), default=0.0
        ),
        n_seeds=min(seeds, default=0),
        n_examples=sum(found.n_examples for found in estimates),
        n_clusters=sum(found.n_clusters for found in estimates),
    )
    return Together(
        estimate=estimate,
        unit=unit,
        differences_K=differences_K,
        counted_as=tuple(counted),
        n_averaged=sum(len(own) for own in members.values() if len(own) > 1),
        share_of_images=share,
        n_better=n_better(p_values),
        n_tested=len(p_values),
        note="; ".join(reasons),
        scope=f"{SCOPE}, this pre-training" if _share_a_start(blocks) else SCOPE,
    )


def share_of_images(estimates: Sequence[Estimate]) -> float:
    """Share of the blocks' summed variances that clusters of examples make.

    Of a block with one seed it is all, the most that it can be: nothing tells it from the rest there.
    """
    total = sum(found.variance for found in estimates)
    of_images = sum(part.variance for found in estimates for part in found.parts if part.source == CLUSTERS)
    return of_images / total if total > 0 else math.nan


def _units(blocks: Sequence[BlockDifference], share: float) -> tuple[list[int], list[str]]:
    """By block the place of the first that it counts as one with, and why."""
    reasons: list[str] = []
    parts = [block.drawn for block in blocks]
    first = counted_as(parts)
    if len(set(first)) < len(blocks):
        reasons.append("blocks that share a teacher, the data order or generated images are averaged")
    seen = [photos(block.runs) for block in blocks]
    if share >= LARGEST_SHARE:
        joined = counted_as([own | images for own, images in zip(parts, seen, strict=True)])
        if joined != first:
            reasons.append(f"blocks that share images, {share:.0%} of the variance, are averaged")
        return joined, reasons
    if len(set(counted_as(seen))) < len(seen):
        reasons.append(f"some blocks share images, {share:.1%} of the variance")
    return first, reasons


def _share_a_start(blocks: Sequence[BlockDifference]) -> bool:
    found = [starts(block.runs) for block in blocks]
    return len(set(counted_as(found))) < len(found)
