"""The contrasts of a claim, computed from the collected tables: in a setting, or over blocks."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import fmean
from typing import Any

import pandas as pd

from amad_bench.analysis.blocks.across import across
from amad_bench.analysis.blocks.differences import (
    POINTS,
    BlockDifference,
    Together,
    in_unit,
    together,
    unit_of,
)
from amad_bench.analysis.blocks.of_losses import block_key
from amad_bench.analysis.blocks.sharing import photos, starts
from amad_bench.analysis.blocks.units import units_of
from amad_bench.analysis.contrasts import Arm, Contrast, contrast
from amad_bench.analysis.estimates import Estimate
from amad_bench.analysis.measured_by import dataset_of
from amad_bench.analysis.scores import ScoreBook
from amad_bench.analysis.settings import BLOCK
from amad_bench.plan.catalogue import METRICS, primary_metric
from amad_bench.plan.claims.cells import Runs, Unit
from amad_bench.plan.claims.lacking import FEWEST_SEEDS, Asked
from amad_bench.plan.claims.looks import joined

_READ = [  # of the table `runs`, by contrasts and by what blocks share
    *BLOCK,
    *("run_id", "kind", "loss", "replicate", "status", "assistant", "teacher_id", "dataset_options"),
    *("seeds", "start", "block", "pretraining", "teacher_pretraining"),
]
THIS_PRETRAINING = "this pre-training"
Combined = Callable[[float, float], Estimate]


@dataclass(frozen=True)
class Found:
    """A contrast as it came out; of the estimate, more than 0 is better. note: why blocks are averaged."""

    estimate: Estimate
    unit: str
    n_blocks: int
    scope: str
    note: str = ""


@dataclass(frozen=True)
class Evidence:
    """Account of what the tables say about contrasts.

    runs, book: the tables `runs` and `scores`; planned: the students of the plan; ces: of `ce_scores`.
    replicates: those that count, None for all. with_failed: failed runs count, with the scores of the
    majority answer.
    """

    runs: pd.DataFrame
    book: ScoreBook
    planned: Sequence[Runs]
    ces: Mapping[str, float]
    replicates: Collection[int] | None = None
    with_failed: bool = False
    _known: dict[tuple[Any, ...], tuple[BlockDifference, bool]] = field(default_factory=dict, repr=False)

    def of(self, asked: Asked) -> Found:
        """The contrast of a claim: over its blocks, or in its setting."""
        if asked.over == "setting":
            return self._in_setting(asked)
        blocks, trouble = self.blocks(asked)
        return found_over(together(blocks), trouble)

    def blocks(self, asked: Asked) -> tuple[list[BlockDifference], str]:
        """The contrast in each block, where more than 0 is better; and why it is none, or ""."""
        found = [self._block_once(unit) for unit in self._units(asked)]
        one_method = bool(found) and all(same for _, same in found)
        return [block for block, _ in found], _one_method(asked) if one_method else ""

    def combined(self, first: Asked, second: Asked) -> Combined:
        """The estimate of a D + b G for any a and b; contrasts D and G, in the same setting or blocks."""
        units = [{unit.block: unit for unit in self._units(asked)} for asked in (first, second)]
        both = [(unit, units[1][block]) for block, unit in units[0].items() if block in units[1]]
        joined_units = [Unit(of_D.block, of_D.arms + of_G.arms) for of_D, of_G in both]
        found = [self._contrast(unit) for unit in joined_units]

        def at(place: int, a: float, b: float) -> Estimate:
            result, _, better = found[place]
            factors = [a] * len(both[place][0].arms) + [b] * len(both[place][1].arms)
            weights = [weight for weight, _ in joined_units[place].arms]
            scaled = [factor * weight for factor, weight in zip(factors, weights, strict=True)]
            return oriented(result.at(scaled), better)

        if first.over == "setting":
            return lambda a, b: _enough_seeds(at(0, a, b))
        blocks = [self._block_once(unit)[0] for unit in joined_units]
        unit = unit_of(blocks)
        kept = [place for place, block in enumerate(blocks) if math.isfinite(in_unit(block, unit).value)]
        drawn = [blocks[place].drawn for place in kept]
        seen = [photos(blocks[place].runs) for place in kept]

        def over_blocks(a: float, b: float) -> Estimate:
            estimates = [in_unit(replace(blocks[place], estimate=at(place, a, b)), unit) for place in kept]
            together_as = units_of(drawn, seen, estimates)
            return across(
                [fmean(estimates[place].value for place in members) for members in together_as.members],
                tolerance=max((each.tolerance for each in estimates), default=0.0),
                n_seeds=min((each.n_seeds for each in estimates), default=0),
                common=together_as.common,
            )

        return over_blocks

    def _in_setting(self, asked: Asked) -> Found:
        (unit,) = self._units(asked)
        result, _, better = self._contrast(unit)
        estimate = _enough_seeds(oriented(result.estimate, better))
        if result.same:
            estimate = replace(estimate, trouble=_one_method(asked))
        rows = self._rows(unit)
        scope = f"{result.scope}, {THIS_PRETRAINING}" if starts(rows) else result.scope
        return Found(estimate, POINTS, 1, scope)

    def _block_once(self, unit: Unit) -> tuple[BlockDifference, bool]:
        """Same as `_block`, computed once for all claims that ask for it."""
        counted = None if self.replicates is None else tuple(sorted(self.replicates))
        key = (*((weight, id(runs)) for weight, runs in unit.arms), counted, self.with_failed)
        if key not in self._known:
            self._known[key] = self._block(unit)
        return self._known[key]

    def _block(self, unit: Unit) -> tuple[BlockDifference, bool]:
        """The contrast in a block, and whether its arms are one method there."""
        result, metric, better = self._contrast(unit)
        rows = self._rows(unit)
        axes = {str(column): rows[column].iloc[0] for column in BLOCK}
        estimate = oriented(result.estimate, better)
        difference = BlockDifference(
            axes=axes,
            metric=metric,
            estimate=estimate,
            with_failed=estimate,
            n_failed=result.n_failed,
            ce=self.ces[block_key(axes)],
            runs=self._by_id.loc[[*rows["run_id"], *rows["teacher_id"].dropna().unique()]],
        )
        return difference, result.same

    def _contrast(self, unit: Unit) -> tuple[Contrast, str, bool]:
        """The contrast of a unit, its metric, and whether more of that is better."""
        arms = [Arm(self._rows_of(runs), weight) for weight, runs in unit.arms]
        first = arms[0].runs.iloc[0]
        metric = primary_metric(first["task"], dataset_of(first["dataset"], first["dataset_options"]))
        found = contrast(self.book, arms, metric, controls=self.runs if self.with_failed else None)
        return found, metric, METRICS[metric].higher_is_better

    def _units(self, asked: Asked) -> list[Unit]:
        """Units of the contrast that have replicates that count; all of them in a setting."""
        units = asked.units(self.planned)
        counted = self.replicates
        if counted is None or asked.over == "setting":
            return units
        return [unit for unit in units if not unit.replicates.isdisjoint(counted)]

    def _rows(self, unit: Unit) -> pd.DataFrame:
        return self._by_id.loc[[run_id for _, runs in unit.arms for run_id in self._counted(runs)]]

    def _rows_of(self, runs: Runs) -> pd.DataFrame:
        return self._by_id.loc[self._counted(runs)]

    def _counted(self, runs: Runs) -> list[str]:
        return [
            run_id
            for replicate, run_id in runs.run_ids.items()
            if self.replicates is None or replicate in self.replicates
        ]

    @cached_property
    def _by_id(self) -> pd.DataFrame:
        """The columns that are read of runs, as few as there can be: rows are taken from them often."""
        return self.runs[_READ].set_index("run_id", drop=False)


def found_over(found: Together, trouble: str = "") -> Found:
    """A contrast over blocks as it came out; trouble: why it is none."""
    estimate = replace(found.estimate, trouble=trouble or found.estimate.trouble)
    return Found(estimate, found.unit, found.n_blocks, found.scope, found.note)


def oriented(estimate: Estimate, higher_is_better: bool) -> Estimate:
    """The estimate such that more than 0 is better."""
    return estimate if higher_is_better else replace(estimate, value=-estimate.value)


def _enough_seeds(estimate: Estimate) -> Estimate:
    if estimate.n_seeds >= FEWEST_SEEDS or estimate.trouble:
        return estimate
    return replace(estimate, trouble="one seed says nothing about methods")


def _one_method(asked: Asked) -> str:
    losses = joined(list(dict.fromkeys(arm.loss for arm in asked.arms)))
    return f"{losses} are one method: equal scores in all replicates"
