"""The parts of a claim: each a number with the direction that is claimed of it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from amad_bench.analysis.blocks.across import slope
from amad_bench.analysis.blocks.differences import in_unit, together, unit_of
from amad_bench.analysis.claims import sentences
from amad_bench.analysis.claims.evidence import Evidence, Found, found_over
from amad_bench.analysis.claims_math.share_of_gap import share_of_gap
from amad_bench.analysis.comparisons import outcome_of
from amad_bench.analysis.holm import holm
from amad_bench.analysis.shown import shown_difference
from amad_bench.analysis.significance.outcome import one_sided_p
from amad_bench.plan.claims.lacking import Asked, pairs_of
from amad_bench.plan.claims.schema import Arm, Claim, Direction, Order, Share, Slope

AT_EQUAL_STEPS = " at equal steps"  # ends the name of a part of an order that is not testable there
SIGN = {"better": 1.0, "worse": -1.0}


@dataclass(frozen=True)
class Part:
    """A part of a claim. name: short, unique in the claim; sentence: what it came out as, in words.

    found: what is tested against 0; direction: what is claimed of it. value, low, high: what is shown of it,
    with its 95 % interval; for a share that is not the number that is tested. unit: of these.
    """

    name: str
    direction: Direction
    found: Found
    value: float
    low: float
    high: float
    unit: str
    sentence: str

    @property
    def trouble(self) -> str:
        """Reason why it cannot be tested, or ""."""
        return outcome_of(self.found.estimate).trouble

    @property
    def p_value(self) -> float:
        """One-sided, in the direction that is claimed; NaN where it is not testable."""
        return self._one_sided(1.0)

    @property
    def p_worse(self) -> float:
        """One-sided, in the opposite direction."""
        return self._one_sided(-1.0)

    def _one_sided(self, sign: float) -> float:
        estimate = self.found.estimate
        return one_sided_p(outcome_of(estimate).p_value, sign * SIGN[self.direction] * estimate.value)

    def shown_80(self, level: float) -> float:
        """The difference that the design shows with 80 % power; NaN where it is not testable."""
        estimate = self.found.estimate
        return shown_difference(estimate.parts, level) if not self.trouble and estimate.varies else math.nan

    def to_show(self, level: float) -> float:
        """The difference that the design would have shown, where it shows neither direction; else NaN."""
        decided = min(self.p_value, self.p_worse) <= level / 2
        return math.nan if decided else self.shown_80(level)


def parts_of(claim: Claim, evidence: Evidence, level: float) -> list[Part]:
    """The parts of a claim that the plan can answer; of an order the pairs separated at equal steps."""
    if claim.shares is not None:
        return [part for share in claim.shares for part in _of_share(share, evidence, level)]
    if claim.slope is not None:
        return [_of_slope(claim.slope, evidence, level)]
    if claim.order is not None:
        return list(_of_order(claim.order, evidence, level))
    return [
        _difference(
            contrast.arms,
            evidence.of(Asked(contrast.arms, contrast.where, contrast.over)),
            contrast.direction,
            level,
        )
        for contrast in claim.contrasts or []
    ]


def _difference(
    arms: Sequence[Arm], found: Found, direction: Direction, level: float, before: str = "", after: str = ""
) -> Part:
    """before: how its sentence begins; after: what its name says beside its arms."""
    outcome, value = outcome_of(found.estimate), found.estimate.value
    part = Part(
        sentences.contrast_name(arms) + after,
        direction,
        found,
        value,
        outcome.ci_low,
        outcome.ci_high,
        found.unit,
        "",
    )
    said = sentences.of_difference(arms, found, part.low, part.high, part.to_show(level))
    return replace(part, sentence=before + said)


def _of_share(share: Share, evidence: Evidence, level: float) -> Iterator[Part]:
    """The gap, which must be there; and what is gained of it beyond the share to be exceeded."""
    gain, gap = (Asked(arms, share.where, share.over) for arms in (share.gain, share.gap))
    of_gap = evidence.of(gap)
    yield _difference(share.gap, of_gap, "better", level, before="the gap: ", after=" (the gap)")
    combined = evidence.combined(gain, gap)
    estimate, trouble = combined(1.0, -share.more_than), evidence.of(gain).estimate.trouble
    tested = replace(of_gap, estimate=replace(estimate, trouble=trouble or estimate.trouble))
    found = share_of_gap(combined)
    sentence = sentences.of_share(share, found, tested)
    low, high = (100 * end for end in (found.low, found.high))
    name = f"share of the gap{f' above {share.more_than:g}' if share.more_than else ''}"
    yield Part(name, "better", tested, 100 * found.value, low, high, sentences.SHARE_UNIT, sentence)


def _of_slope(asked: Slope, evidence: Evidence, level: float) -> Part:
    blocks, trouble = evidence.blocks(Asked(asked.arms, asked.where, "blocks", own_teachers=True))
    unit = unit_of(blocks)
    estimates = [in_unit(block, unit) for block in blocks]
    kept = [
        (math.log2(block.gap), each)
        for block, each in zip(blocks, estimates, strict=True)
        if math.isfinite(each.value)
    ]
    gaps_K = np.array([doublings for doublings, _ in kept])
    estimate = slope(
        gaps_K,
        np.array([each.value for _, each in kept]),
        tolerance=max((each.tolerance for _, each in kept), default=0.0),
        n_seeds=min((each.n_seeds for _, each in kept), default=0),
    )
    whole = found_over(together(blocks), trouble)
    estimate = replace(estimate, trouble=trouble or estimate.trouble)
    # Without the note on which blocks are averaged: a slope has a value of each.
    found = replace(whole, estimate=estimate, n_blocks=len(kept), note="")
    outcome = outcome_of(found.estimate)
    part = Part(
        f"{sentences.contrast_name(asked.arms)} on log2 of the head gap",
        asked.direction,
        found,
        estimate.value,
        outcome.ci_low,
        outcome.ci_high,
        f"{unit} a doubling",
        "",
    )
    return replace(
        part, sentence=sentences.of_slope(asked.arms, found, part.low, part.high, part.to_show(level))
    )


def _of_order(order: Order, evidence: Evidence, level: float) -> Iterator[Part]:
    """At equal FLOPs, the pairs that Holm separates at equal steps, in the direction that they have there.

    A pair that cannot be tested at equal steps is a part, too: whether its order is kept is not known.
    """
    pairs = pairs_of(order)
    at_steps = [evidence.of(steps) for steps, _ in pairs]
    p_values = [outcome_of(found.estimate).p_value for found in at_steps]
    for (steps, flops), found, p_value in zip(pairs, at_steps, holm(p_values), strict=True):
        direction: Direction = "worse" if found.estimate.value < 0 else "better"
        if math.isnan(p_value):
            yield _difference(steps.arms, found, direction, level, "at equal steps ", AT_EQUAL_STEPS)
        elif p_value <= level:
            at_flops = evidence.of(flops)
            yield _difference(flops.arms, at_flops, direction, level, "at equal FLOPs ", " at equal FLOPs")
