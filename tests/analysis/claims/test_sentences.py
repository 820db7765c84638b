"""Sentences on claims: a reader must see on which side of 0 each end of an interval is."""

import math
from typing import Any

import pytest

from amad_bench.analysis.blocks.differences import PER_CENT, POINTS
from amad_bench.analysis.claims.evidence import Found
from amad_bench.analysis.claims.sentences import of_difference, of_share, of_slope
from amad_bench.analysis.claims_math.share_of_gap import Share as ShareOfGap
from amad_bench.analysis.estimates import Estimate
from amad_bench.plan.claims.schema import Arm, Share

PAIR = [Arm(weight=1.0, loss="amad_kl"), Arm(weight=-1.0, loss="one_to_one")]
SUM = [Arm(weight=2.0, loss="amad_kl"), Arm(weight=-1.0, loss="one_to_one"), Arm(weight=-1.0, loss="ce")]


def found(value: float, unit: str = POINTS, blocks: int = 8) -> Found:
    return Found(Estimate(value, (), 3, 500, 500, 0.0), unit, blocks, "blocks of this kind")


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (
            2.0,
            1.0,
            3.0,
            "AMAD leads one-to-one by 2.0 points over 8 blocks (95 % interval: 1.0 to 3.0 ahead)",
        ),
        (
            0.8,
            -1.1,
            2.7,
            "AMAD leads one-to-one by 0.8 points over 8 blocks (95 % interval: 1.1 behind to 2.7 ahead)",
        ),
        (
            -0.3,
            -2.3,
            1.7,
            "AMAD trails one-to-one by 0.3 points over 8 blocks (95 % interval: 2.3 behind to 1.7 ahead)",
        ),
        (
            -2.0,
            -4.0,
            0.0,
            "AMAD trails one-to-one by 2.0 points over 8 blocks (95 % interval: 0.0 to 4.0 behind)",
        ),
    ],
)
def test_a_pair(value: float, low: float, high: float, said: str) -> None:
    assert of_difference(PAIR, found(value), low, high, math.nan) == said


def test_what_would_be_shown_stands_behind() -> None:
    said = of_difference(PAIR, found(-0.3, PER_CENT, 1), -2.3, 1.7, 3.94)
    assert said == (
        "AMAD trails one-to-one by 0.3 % of the score of ce over 3 seeds and 500 examples "
        "(95 % interval: 2.3 behind to 1.7 ahead); 3.9 would be shown with 80 % power"
    )


def test_a_sum_of_more_arms() -> None:
    assert of_difference(SUM, found(-1.0), -3.0, 1.0, math.nan) == (
        "2 AMAD - one-to-one - training on labels is 1.0 points below 0 over 8 blocks "
        "(95 % interval: 3.0 below to 1.0 above)"
    )


def test_budgets_that_differ_are_named() -> None:
    arms = [Arm(weight=1.0, loss="amad_kl", budget="flops"), Arm(weight=-1.0, loss="amad_kl")]
    assert of_difference(arms, found(-1.0), -2.0, -0.5, math.nan) == (
        "AMAD at equal FLOPs trails AMAD at equal steps by 1.0 points over 8 blocks "
        "(95 % interval: 0.5 to 2.0 behind)"
    )


@pytest.mark.parametrize(
    ("value", "low", "high", "grows", "interval"),
    [
        (2.0, 0.5, 3.5, "grows by 2.0", "growing by 0.5 to 3.5"),
        (-0.7, -4.0, 2.5, "shrinks by 0.7", "shrinking by 4.0 to growing by 2.5"),
        (-2.0, -3.5, -0.5, "shrinks by 2.0", "shrinking by 0.5 to 3.5"),
    ],
)
def test_a_slope(value: float, low: float, high: float, grows: str, interval: str) -> None:
    assert of_slope(PAIR, found(value, PER_CENT), low, high, math.nan) == (
        f"the lead of AMAD over one-to-one {grows} % of the score of ce with each doubling of the head gap "
        f"over 8 blocks (95 % interval: {interval})"
    )


@pytest.mark.parametrize(
    ("share", "said"),
    [
        ((0.4, 0.1, 0.7, "interval"), "40 % of {gap}, over 8 blocks (95 % interval: 10 % to 70 %)"),
        ((-0.3, -0.8, 0.2, "interval"), "-30 % of {gap}, over 8 blocks (95 % interval: -80 % to 20 %)"),
        ((0.4, 0.1, math.inf, "ray"), "40 % of {gap}, over 8 blocks (95 %: at least 10 %)"),
        ((0.4, -math.inf, 0.9, "ray"), "40 % of {gap}, over 8 blocks (95 %: at most 90 %)"),
        (
            (0.4, 0.2, -3.0, "two rays"),
            "40 % of {gap}, over 8 blocks (95 %: at most -300 % or at least 20 %, since the gap may be 0)",
        ),
        (
            (0.4, -math.inf, math.inf, "whole line"),
            "40 % of {gap}, over 8 blocks (95 %: any share, since the gap may be 0)",
        ),
    ],
)
def test_a_share(share: Any, said: str) -> None:
    asked = Share(over="blocks", gain=PAIR, gap=[PAIR[0], Arm(weight=-1.0, loss="ce")])
    gap = "the lead of AMAD over training on labels"
    expected = f"the lead of AMAD over one-to-one is {said.format(gap=gap)}"
    assert of_share(asked, ShareOfGap(*share), found(0.4)) == expected
    unknown = f"the lead of AMAD over one-to-one has no share in {gap}, which is 0"
    assert of_share(asked, ShareOfGap(math.nan), found(0.0)) == unknown
