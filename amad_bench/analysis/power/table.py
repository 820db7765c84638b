"""The table `power`: from the noise of finished runs, what other numbers of seeds and blocks would show.

On the primary metric of each setting, in points; across blocks of different metrics in per cent of the
block's mean score of `ce`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from amad_bench.analysis.blocks.across import FEWEST_BLOCKS
from amad_bench.analysis.blocks.differences import PER_CENT, POINTS
from amad_bench.analysis.blocks.of_losses import block_key, ce_scores
from amad_bench.analysis.collected import Collected
from amad_bench.analysis.estimates import FEWEST_CLUSTERS
from amad_bench.analysis.power.measured import Noise, effect_variance, noise_of
from amad_bench.analysis.power.shown_by import (
    shown_across,
    shown_across_by_images,
    shown_by_images,
    shown_by_pair,
    shown_by_setting,
)
from amad_bench.analysis.scores import ScoreBook
from amad_bench.analysis.settings import BLOCK, SETTING, Setting
from amad_bench.analysis.tables.full import full_table_of

SEEDS_ASKED = (2, 3, 5, 10, 20)
BLOCKS_ASKED = (5, 8, 12, 20)
PAIR, OF_SETTING, BLOCKS = "pair", "setting", "blocks"
CONDITIONS = [axis for axis in SETTING if axis not in BLOCK]  # what blocks are grouped by
_NUMBERS = ("n_seeds", "n_blocks", "n_losses", "n_seeds_measured", "n_blocks_measured")
_SHOWN = ("shown_80", "floor_80", "sd_seed", "sd_images", "sd_effect")
POWER_COLUMNS = ["test", *SETTING, "metric", "unit", "n_seeds", "n_blocks", *_SHOWN, *_NUMBERS[2:]]


def power_table(collected: Collected) -> pd.DataFrame:
    """A row per test and number of seeds, of each setting; and of blocks per number of blocks, too.

    Measured on each setting's full table with most degrees of freedom of loss x seed; left out are settings
    without two losses that have two seeds in common. shown_80: the difference that the test finds at .05 with
    80 % power; floor_80: with seeds without end, what the test set allows. sd_seed: of
    one seed's paired difference; sd_images: what the test examples add to every difference; sd_effect: of the
    true difference between blocks, NaN (and taken to be 0) where fewer than two blocks say it.
    """
    found, ces = [_measured(setting, collected.book) for setting in collected.settings], ce_scores(collected)
    measured = [one for one in found if one is not None]
    rows = [row for one in measured for row in _setting_rows(one)]
    for blocks in _groups(measured):
        rows += _block_rows(blocks, ces)
    table = pd.DataFrame(rows, columns=POWER_COLUMNS)
    whole = ("teacher_heads", "student_heads", *_NUMBERS)
    return table.astype(dict.fromkeys(whole, "Int64") | dict.fromkeys(_SHOWN, "float64"))


@dataclass(frozen=True)
class _Measured:
    """A setting with its noise in points, and the mean score of each loss."""

    setting: Setting
    noise: Noise
    means: dict[str, float]


def _measured(setting: Setting, book: ScoreBook) -> _Measured | None:
    """None without a full table, and where no test could say anything for too few clusters."""
    table = full_table_of(setting, book)
    if table is None or table.kish < FEWEST_CLUSTERS:
        return None
    means = dict(zip(table.labels, table.scores_LS.mean(axis=1).tolist(), strict=True))
    return _Measured(setting, noise_of(table.influence_LSC, table.kish), means)


def _setting_rows(one: _Measured) -> list[dict[str, Any]]:
    shared = one.setting.axes | {"metric": one.setting.primary_metric, "unit": POINTS} | _facts([one])
    shared |= {"floor_80": shown_by_images(one.noise)}
    return [
        shared | {"test": test, "n_seeds": seeds, "shown_80": shown(one.noise, seeds)}
        for test, shown in ((PAIR, shown_by_pair), (OF_SETTING, shown_by_setting))
        for seeds in SEEDS_ASKED
    ]


def _groups(measured: Sequence[_Measured]) -> list[list[_Measured]]:
    """The measured blocks of each pair of pre-training conditions, cut and budget."""
    groups: dict[tuple[Any, ...], list[_Measured]] = {}
    for one in measured:
        groups.setdefault(tuple(str(one.setting.axes[axis]) for axis in CONDITIONS), []).append(one)
    return list(groups.values())


def _block_rows(blocks: Sequence[_Measured], ces: Mapping[str, float]) -> list[dict[str, Any]]:
    metrics = list(dict.fromkeys(one.setting.primary_metric for one in blocks))
    unit = POINTS if len(metrics) == 1 else PER_CENT
    scaled = blocks
    if unit == PER_CENT:
        known = [(one, ces[block_key(one.setting.axes)]) for one in blocks]
        scaled = [_of_ce(one, ce) for one, ce in known if ce > 0]
    if not scaled:
        return []
    effect, noises = _effect(scaled), [one.noise for one in scaled]
    assumed = 0.0 if math.isnan(effect) else effect
    conditions = {axis: blocks[0].setting.axes[axis] for axis in CONDITIONS}
    shared = conditions | {"test": BLOCKS, "metric": " | ".join(metrics), "unit": unit} | _facts(scaled)
    shared |= {"sd_effect": math.sqrt(effect)}
    asked = {*BLOCKS_ASKED, max(len(scaled), FEWEST_BLOCKS)}
    return [
        shared
        | {"n_seeds": seeds, "n_blocks": count, "shown_80": shown_across(noises, assumed, seeds, count)}
        | {"floor_80": shown_across_by_images(noises, count)}
        for count in sorted(asked)
        for seeds in (1, *SEEDS_ASKED)
    ]


def _of_ce(one: _Measured, ce: float) -> _Measured:
    """The same in per cent of the block's mean score of `ce`."""
    factor = 100 / ce
    noise = replace(
        one.noise, of_seed=one.noise.of_seed * factor**2, of_images=one.noise.of_images * factor**2
    )
    return replace(one, noise=noise, means={loss: mean * factor for loss, mean in one.means.items()})


def _effect(blocks: Sequence[_Measured]) -> float:
    """Variance of the true difference between the blocks; NaN where they cannot say it."""
    losses = [loss for loss in blocks[0].means if all(loss in one.means for one in blocks)]
    if len(blocks) < 2 or len(losses) < 2:
        return math.nan
    means_KL = np.array([[one.means[loss] for loss in losses] for one in blocks])
    noise_K = np.array([one.noise.of_seed / one.noise.n_seeds + one.noise.of_images for one in blocks])
    return effect_variance(means_KL, noise_K)


def _facts(blocks: Sequence[_Measured]) -> dict[str, Any]:
    """The columns about what was measured; of several blocks the mean variances, and the fewest seeds."""
    noises = [one.noise for one in blocks]
    return {
        "sd_seed": math.sqrt(sum(noise.of_seed for noise in noises) / len(noises)),
        "sd_images": math.sqrt(sum(noise.of_images for noise in noises) / len(noises)),
        "n_losses": max(noise.n_losses for noise in noises),
        "n_seeds_measured": min(noise.n_seeds for noise in noises),
        "n_blocks_measured": len(blocks),
    }
