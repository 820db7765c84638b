"""The difference of a contrast in one block, in the unit of several."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from amad_bench.analysis.blocks.sharing import drawn
from amad_bench.analysis.comparisons import outcome_of
from amad_bench.analysis.estimates import Estimate
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
        """Names of all that its runs are drawn from, images of real data aside."""
        return drawn(self.runs)

    @property
    def gap(self) -> float:
        """Teacher heads over student heads, at the side that is compared."""
        return self.axes["teacher_heads"] / self.axes["student_heads"]


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
