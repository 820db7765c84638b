"""Means and slopes over blocks, against scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from amad_bench.analysis.blocks.across import across, slope
from amad_bench.analysis.significance.weighted_t import assess, one_sided

DIFFERENCES = [1.2, 0.4, 2.2, -0.3, 0.9, 1.4]
FACTS = {"tolerance": 1e-9, "n_seeds": 2}


def test_mean_is_the_one_sample_t() -> None:
    estimate = across(DIFFERENCES, **FACTS)
    outcome, expected = assess(estimate), stats.ttest_1samp(DIFFERENCES, 0)
    assert estimate.value == pytest.approx(np.mean(DIFFERENCES))
    assert outcome.p_value == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    assert (outcome.ci_low, outcome.ci_high) == pytest.approx((interval.low, interval.high))
    above = stats.ttest_1samp(DIFFERENCES, 0, alternative="greater")
    assert one_sided(estimate, 1.0) == pytest.approx(above.pvalue)
    assert one_sided(estimate, -1.0) == pytest.approx(1 - above.pvalue)


@pytest.mark.parametrize("blocks", range(5))
def test_below_five_blocks_nothing_is_tested(blocks: int) -> None:
    estimate = across(DIFFERENCES[:blocks], **FACTS)
    assert estimate.trouble == f"{blocks} of 5 blocks"
    assert math.isnan(assess(estimate).p_value)


def test_slope_is_that_of_least_squares() -> None:
    gaps = [0.0, 1, 1, 2, 2, 3]
    estimate, expected = slope(gaps, DIFFERENCES, **FACTS), stats.linregress(gaps, DIFFERENCES)
    assert estimate.value == pytest.approx(expected.slope)
    assert math.sqrt(estimate.variance) == pytest.approx(expected.stderr)
    assert assess(estimate).p_value == pytest.approx(expected.pvalue)


def test_slope_needs_blocks_and_gaps_that_differ() -> None:
    assert slope([1.0, 2, 3, 4], DIFFERENCES[:4], **FACTS).trouble == "4 of 5 blocks"
    assert "alike" in slope([2.0] * 6, DIFFERENCES, **FACTS).trouble


def test_a_block_without_a_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="finite"):
        across([1.0, math.nan], **FACTS)
    with pytest.raises(ValueError, match="one of each per block"):
        slope([1.0, 2], DIFFERENCES, **FACTS)
