"""Sentences about claims as a person would say them; tables, report, paper and command line show these."""

import math
from collections import Counter
from collections.abc import Sequence

from amad_bench.analysis.blocks.differences import POINTS
from amad_bench.analysis.claims.evidence import Found
from amad_bench.analysis.claims_math.share_of_gap import Share as ShareOfGap
from amad_bench.plan.claims.cells import FLOPS, STEPS
from amad_bench.plan.claims.looks import joined
from amad_bench.plan.claims.report import plural
from amad_bench.plan.claims.schema import Arm, Claim, Share

SHARE_UNIT = "% of the gap"
PREFIX = {
    "supported": "Supported",
    "contradicted": "Contradicted",
    "inconclusive": "Not shown",
    "not testable here": "Not testable here",
}
_SPOKEN = {
    "amad_kl": "AMAD",
    "one_to_one": "one-to-one",
    "logit_kd": "logit KD",
    "ce": "training on labels",
    "student_mean": "its uniform control",
}
_OF_A_LEAD = ("{} behind", "{} ahead")
_OF_A_SUM = ("{} below", "{} above")
_OF_A_SLOPE = ("shrinking by {}", "growing by {}")
_AT = {STEPS: "at equal steps", FLOPS: "at equal FLOPs"}
_AFTER = {"none": "without pre-training", "text": "after text pre-training", "vl": "after VL pre-training"}


def names_of(arms: Sequence[Arm]) -> list[str]:
    """Names of arms; with their budgets where these differ."""
    budgets = [arm.budget or STEPS for arm in arms]
    if len(set(budgets)) == 1:
        return [arm_name(arm) for arm in arms]
    return [f"{arm_name(arm)} {_AT[budget]}" for arm, budget in zip(arms, budgets, strict=True)]


def arm_name(arm: Arm) -> str:
    """A loss with what else the arm names but its budget, e.g. "AMAD without pre-training"."""
    others = [str(value) for axis, value in arm.asked.items() if axis not in ("loss", "budget", *_CONDITIONS)]
    words = [_SPOKEN.get(arm.loss, arm.loss), *others]
    if arm.pretraining is not None:
        words.append(_AFTER[arm.pretraining])
    if arm.teacher_pretraining is not None:
        words.append(f"from a teacher {_AFTER[arm.teacher_pretraining]}")
    return " ".join(words)


_CONDITIONS = ("pretraining", "teacher_pretraining")


def contrast_name(arms: Sequence[Arm]) -> str:
    """Short name of a contrast by its arms, e.g. "AMAD - one-to-one"."""
    text = ""
    for arm, name in zip(arms, names_of(arms), strict=True):
        sign = "- " if arm.weight < 0 else "+ " if text else ""
        times = "" if abs(arm.weight) == 1 else f"{abs(arm.weight):g} "
        text += f"{' ' if text else ''}{sign}{times}{name}"
    return text


def lead(arms: Sequence[Arm]) -> str:
    """Phrase for a contrast as a thing, e.g. "the lead of AMAD over one-to-one"."""
    pair = _pair(arms)
    return contrast_name(arms) if pair is None else f"the lead of {pair[0]} over {pair[1]}"


def _pair(arms: Sequence[Arm]) -> tuple[str, str] | None:
    """The names of two arms that are simply compared, the first one minus the second."""
    first, *others = sorted(arms, key=lambda arm: -arm.weight)
    if len(others) != 1 or first.weight != 1:
        return None
    one, other = names_of([first, *others])
    return one, other


def of_difference(arms: Sequence[Arm], found: Found, low: float, high: float, shown: float) -> str:
    """Result of a contrast: "AMAD leads one-to-one by 0.8 points over 5 blocks (95 % interval: 1.1 behind to
    2.7 ahead); 3.9 would be shown with 80 % power". shown: NaN where nothing is to be said of it.
    """
    if found.estimate.trouble:
        return f"{contrast_name(arms)}: {found.estimate.trouble}"
    value = found.estimate.value
    if (pair := _pair(arms)) is not None:
        first, second = pair
        leads = "leads" if value >= 0 else "trails"
        said, sides = f"{first} {leads} {second} by {_amount(abs(value), found.unit)}", _OF_A_LEAD
    else:
        side = "above" if value >= 0 else "below"
        said, sides = f"{contrast_name(arms)} is {_amount(abs(value), found.unit)} {side} 0", _OF_A_SUM
    return said + _evidence(found, sides, low, high, shown)


def of_slope(arms: Sequence[Arm], found: Found, low: float, high: float, shown: float) -> str:
    """Account of what a slope on the head gap came out as."""
    if found.estimate.trouble:
        return f"{lead(arms)} by head gap: {found.estimate.trouble}"
    value = found.estimate.value
    grows = f"{'grows' if value >= 0 else 'shrinks'} by {_amount(abs(value), found.unit)}"
    said = f"{lead(arms)} {grows} with each doubling of the head gap"
    return said + _evidence(found, _OF_A_SLOPE, low, high, shown)


def of_share(share: Share, found: ShareOfGap, tested: Found) -> str:
    """Account of what a share of a gap came out as, with its interval by Fieller."""
    gain, gap = lead(share.gain), lead(share.gap)
    if found.trouble or tested.estimate.trouble:
        return f"{gain} in {gap}: {found.trouble or tested.estimate.trouble}"
    if math.isnan(found.value):
        return f"{gain} has no share in {gap}, which is 0"
    said = f"{gain} is {100 * found.value:.0f} % of {gap}, {_where(tested)}"
    low, high = (f"{100 * end:.0f} %" for end in (found.low, found.high))
    kept = {
        "interval": f"95 % interval: {low} to {high}",
        "ray": f"95 %: at least {low}" if math.isfinite(found.low) else f"95 %: at most {high}",
        "two rays": f"95 %: at most {high} or at least {low}, since the gap may be 0",
        "whole line": "95 %: any share, since the gap may be 0",
    }
    return f"{said} ({kept[found.kind]})"


def of_claim(verdict: str, parts: Sequence[str], reason: str) -> str:
    """The whole sentence about a claim: its verdict, what its parts came out as, why."""
    said = "; ".join([*parts, *([reason] if reason else [])])
    return f"{PREFIX[verdict]}: {said}." if said else f"{PREFIX[verdict]}."


def of_order(kept: int, changed: Sequence[str], unknown: Sequence[str]) -> str:
    """Count of pairs of losses that equal steps separate and equal FLOPs, too.

    changed: sentences about those that equal FLOPs do not; unknown: why others cannot be tested at equal
    steps.
    """
    if kept or changed:
        said = f"{kept} of {plural(kept + len(changed), 'pair')} of losses that equal steps separate"
        said += " are separated alike at equal FLOPs"
    else:
        said = "no pair of losses is separated at equal steps"
    counts = Counter(unknown).items()
    lacking = [f"{plural(n, 'pair')} cannot be tested at equal steps ({reason})" for reason, n in counts]
    return "; ".join([said, *changed, *lacking])


def of_missing(claim: Claim, missing: Sequence[str]) -> str:
    """The whole sentence about a claim that these runs cannot answer."""
    said = f"missing {'; '.join(missing)}; {joined(claim.answered_by)} can answer it"
    return of_claim("not testable here", [said], "")


def _evidence(found: Found, sides: tuple[str, str], low: float, high: float, shown: float) -> str:
    """Account of where it was found, its interval and what can be shown."""
    text = f" {_where(found)} (95 % interval: {_interval(sides, low, high)})"
    return text if math.isnan(shown) else f"{text}; {shown:.1f} would be shown with 80 % power"


def _interval(sides: tuple[str, str], low: float, high: float) -> str:
    """Both ends with the side of 0 that they are on, in words: a sign would be read against those before."""
    below, above = sides
    if low >= 0:
        return above.format(f"{low:.1f} to {high:.1f}")
    if high <= 0:
        return below.format(f"{abs(high):.1f} to {abs(low):.1f}")
    return f"{below.format(f'{abs(low):.1f}')} to {above.format(f'{high:.1f}')}"


def _where(found: Found) -> str:
    estimate = found.estimate
    if found.n_blocks > 1:
        return f"over {plural(found.n_blocks, 'block')}"
    return f"over {plural(estimate.n_seeds, 'seed')} and {plural(estimate.n_examples, 'example')}"


def _amount(value: float, unit: str) -> str:
    return f"{value:.1f} points" if unit == POINTS else f"{value:.1f} % of the score of ce"
