"""Differences of losses in each block, from the collected tables."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from amad_bench.analysis.blocks.differences import BlockDifference
from amad_bench.analysis.contrasts import Arm, contrast
from amad_bench.analysis.settings import BLOCK, CE, TEACHER, Setting

if TYPE_CHECKING:
    from amad_bench.analysis.collected import Collected

AMAD = "amad"
CONDITION = ["teacher_pretraining", "pretraining", "budget"]  # what settings of one block differ in


@dataclass(frozen=True)
class Pair:
    """Two losses under one condition, in all blocks that have both.

    condition: values of the columns CONDITION. blocks: the difference of a minus b in each.
    """

    loss_a: str
    loss_b: str
    condition: Mapping[str, Any]
    blocks: list[BlockDifference] = field(default_factory=list[BlockDifference])


def pairs_of_losses(collected: "Collected") -> list[Pair]:
    """Each variant of AMAD with every other loss, by condition; losses that an assistant taught stay out."""
    ces = ce_scores(collected)
    found: dict[tuple[str, ...], Pair] = {}
    for setting in collected.settings:
        condition = {axis: setting.axes[axis] for axis in CONDITION}
        losses = setting.by_loss()
        for a, b in _pairs(losses):
            pair = found.setdefault((a, b, *map(str, condition.values())), Pair(a, b, condition))
            arms = [Arm(losses[a], 1.0), Arm(losses[b], -1.0)]
            pair.blocks.append(block_difference(collected, setting, arms, ces))
    return list(found.values())


def block_difference(
    collected: "Collected", setting: Setting, arms: Sequence[Arm], ces: Mapping[str, float]
) -> BlockDifference:
    """A contrast of arms in the block of a setting, on its primary metric; ces: of `ce_scores`."""
    metric, runs = setting.primary_metric, collected.runs
    found = contrast(collected.book, arms, metric)
    with_failed = found.estimate
    if any(found.n_failed):
        with_failed = contrast(collected.book, arms, metric, controls=runs).estimate
    used = {name for arm in arms for column in ("run_id", "teacher_id") for name in arm.runs[column].dropna()}
    return BlockDifference(
        axes={axis: setting.axes[axis] for axis in BLOCK},
        metric=metric,
        estimate=found.estimate,
        with_failed=with_failed,
        n_failed=found.n_failed,
        ce=ces[block_key(setting.axes)],
        runs=runs.loc[runs["run_id"].isin([*used])],
    )


def ce_scores(collected: "Collected") -> dict[str, float]:
    """By block the mean score of its `ce` students, in points, over all that it was pre-trained with."""
    by_block: dict[str, tuple[str, list[str]]] = {}
    for setting in collected.settings:
        students = setting.students
        own = students.loc[students["loss"] == CE, "run_id"].tolist()
        by_block.setdefault(block_key(setting.axes), (setting.primary_metric, []))[1].extend(own)
    return {
        key: _mean(collected, list(dict.fromkeys(ids)), metric) for key, (metric, ids) in by_block.items()
    }


def block_key(axes: Mapping[str, Any]) -> str:
    """Name of a block by all its columns; axes: of it, or of one of its settings."""
    return " | ".join(str(axes[axis]) for axis in BLOCK)


def _mean(collected: "Collected", run_ids: list[str], metric: str) -> float:
    scored = collected.book.having(run_ids, metric)
    return float(collected.book.matrix(scored, metric).scores_S().mean()) if scored else math.nan


def _pairs(losses: Mapping[str, pd.DataFrame]) -> list[tuple[str, str]]:
    """Labels: each variant of AMAD before every other loss, two variants once."""
    name = {label: rows["loss_name"].iloc[0] for label, rows in losses.items() if label != TEACHER}
    direct = [label for label in name if pd.isna(losses[label]["assistant"].iloc[0])]
    variants = [label for label in direct if name[label] == AMAD]
    rivals = [label for label in direct if label not in variants]
    return [(a, b) for place, a in enumerate(variants) for b in [*rivals, *variants[place + 1 :]]]
