"""The tables `blocks` and `block_differences`: two losses across blocks, and in each of them.

No row was registered before the runs: all are exploratory. What is registered stands in the table `claims`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from amad_bench.analysis.blocks.differences import BlockDifference, Together, in_unit, together, with_failed
from amad_bench.analysis.blocks.of_losses import CONDITION, Pair
from amad_bench.analysis.collected import Collected
from amad_bench.analysis.comparisons import NAN, Verdict, outcome_of, verdict
from amad_bench.analysis.settings import BLOCK
from amad_bench.analysis.shown import shown_difference

UNEQUAL, EQUAL = "unequal", "equal"  # heads of teacher and student
ALL = "all"
_CONTRAST = ["loss_a", "loss_b", *CONDITION]
_TESTED = ["difference", "ci_low", "ci_high", "p_value", "df"]
BLOCKS_COLUMNS = [
    *("over", "heads", *_CONTRAST, "metrics", "unit", "n_blocks", "n_averaged", "n_seeds_min", "n_seeds_max"),
    *("n_failed_a", "n_failed_b", *_TESTED, "n_better", "n_tested", "shown_80", "share_of_images"),
    *("difference_with_failed", "statement", "reason", "scope", "registered"),
]
DIFFERENCES_COLUMNS = [
    *(*BLOCK, "block", "heads", *_CONTRAST, "metric", "unit", "difference", "ci_low", "ci_high", "n_seeds"),
    *("n_failed_a", "n_failed_b", "counted_as", "gap", "ce_score"),
]


def blocks_table(collected: Collected) -> pd.DataFrame:
    """A row per pair of losses, condition and group of blocks.

    Groups: all blocks with unequal heads and all with equal ones, and of both each family's and each task's.
    """
    rows = [
        _row(pair, over, heads, blocks)
        for pair in collected.pairs
        for over, heads, blocks in _groups(pair.blocks)
    ]
    return pd.DataFrame(rows, columns=BLOCKS_COLUMNS)


def block_differences_table(collected: Collected) -> pd.DataFrame:
    """A row per block and pair of losses, in the unit of all blocks whose heads are as unequal.

    ce_score: of the block in points, to change the unit by. counted_as: the block that it is averaged into.
    """
    rows = []
    for pair in collected.pairs:
        for over, heads, blocks in _groups(pair.blocks):
            if over != ALL:
                continue
            found = together(blocks)
            for block, counted in zip(blocks, found.counted_as, strict=True):
                estimate = in_unit(block, found.unit)
                outcome = outcome_of(estimate)
                rows.append(
                    _contrast(pair)
                    | dict(block.axes)
                    | {"block": block.name, "heads": heads, "metric": block.metric, "unit": found.unit}
                    | {"difference": estimate.value, "ci_low": outcome.ci_low, "ci_high": outcome.ci_high}
                    | {"n_seeds": estimate.n_seeds, "counted_as": counted, "gap": block.gap}
                    | {"ce_score": block.ce}
                    | dict(zip(("n_failed_a", "n_failed_b"), block.n_failed, strict=True))
                )
    return pd.DataFrame(rows, columns=DIFFERENCES_COLUMNS)


def _groups(blocks: Sequence[BlockDifference]) -> Iterator[tuple[str, str, list[BlockDifference]]]:
    """(over, heads, blocks) of each group of blocks; a family or task that is the only one is no group."""
    for heads in (UNEQUAL, EQUAL):
        alike = [block for block in blocks if (block.gap == 1) == (heads == EQUAL)]
        if alike:
            yield ALL, heads, alike
        for axis in ("family", "task"):
            values = list(dict.fromkeys(block.axes[axis] for block in alike))
            for value in values if len(values) > 1 else []:
                yield value, heads, [block for block in alike if block.axes[axis] == value]


def _contrast(pair: Pair) -> dict[str, Any]:
    return {"loss_a": pair.loss_a, "loss_b": pair.loss_b, **pair.condition}


def _row(pair: Pair, over: str, heads: str, blocks: Sequence[BlockDifference]) -> dict[str, Any]:
    found = also_failed = together(blocks)
    if any(count for block in blocks for count in block.n_failed):
        also_failed = together([with_failed(block) for block in blocks])
    outcome, said = outcome_of(found.estimate), _statement(found, also_failed)
    seeds = [block.estimate.n_seeds for block in blocks]
    failed = [sum(counts) for counts in zip(*(block.n_failed for block in blocks), strict=True)]
    return _contrast(pair) | {
        "over": over,
        "heads": heads,
        "metrics": ", ".join(dict.fromkeys(block.metric for block in blocks)),
        "unit": found.unit,
        "n_blocks": found.n_blocks,
        "n_averaged": found.n_averaged,
        "n_seeds_min": min(seeds),
        "n_seeds_max": max(seeds),
        "n_failed_a": failed[0],
        "n_failed_b": failed[1],
        "difference": found.estimate.value,
        "ci_low": outcome.ci_low,
        "ci_high": outcome.ci_high,
        "p_value": outcome.p_value,
        "df": found.df,
        "n_better": found.n_better,
        "n_tested": found.n_tested,
        "shown_80": shown_difference(found.estimate.parts) if found.estimate.varies else NAN,
        "share_of_images": found.share_of_images,
        "difference_with_failed": also_failed.estimate.value,
        "statement": said.statement,
        "reason": "; ".join(filter(None, (said.reason, found.note))),
        "scope": found.scope,
        "registered": False,
    }


def _statement(found: Together, also_failed: Together) -> Verdict:
    """The verdict; inconclusive where it rests on leaving failed runs out."""
    said, otherwise = _verdict(found), _verdict(also_failed)
    if said.statement == otherwise.statement or said.statement == "not testable":
        return said
    return Verdict("inconclusive", f"depends on failed runs: {said.statement} without them ({said.reason})")


def _verdict(found: Together) -> Verdict:
    outcome = outcome_of(found.estimate)
    return verdict(
        found.estimate.value,
        outcome.p_value,
        shown=shown_difference(found.estimate.parts) if found.estimate.varies else NAN,
        trouble=outcome.trouble,
    )
