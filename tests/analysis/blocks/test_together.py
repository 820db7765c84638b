"""Blocks together: unit, averaging, what images make, k of N; numbers by hand and by scipy."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from amad_bench.analysis.blocks.differences import BlockDifference, Together, in_unit, together
from amad_bench.analysis.blocks.of_losses import Pair
from amad_bench.analysis.blocks.tables import blocks_table
from amad_bench.analysis.estimates import CLUSTERS, SEEDS, Estimate, Part
from amad_bench.analysis.significance.weighted_t import assess

DIFFERENCES = [1.2, 0.4, 2.2, -0.3, 0.9, 1.4]


def block(
    number: int,
    difference: float,
    metric: str = "vqa_accuracy",
    ce: float = 50.0,
    n_seeds: int = 2,
    of_seeds: float = 0.09,
    of_images: float = 0.001,
    **runs: Any,
) -> BlockDifference:
    """A block with runs of its own; runs: what the columns of its runs say instead."""
    parts = (Part(CLUSTERS, of_images, 99.0),)
    if n_seeds > 1:
        parts = (Part(SEEDS, of_seeds, n_seeds - 1), *parts)
    columns = {
        "teacher_id": f"teacher {number}",
        "seeds": json.dumps({"data_order": number}),
        "dataset": "scenes",
        "dataset_options": json.dumps({"seed": number}),
        "start": "random",
    }
    axes = {"family": "vlt5", "task": "vqa", "dataset": "scenes", "student": ""}
    axes |= {"teacher_heads": 8, "student_heads": 10 + number}
    estimate = Estimate(difference, parts, n_seeds, 200, 100, 1e-9)
    return BlockDifference(axes, metric, estimate, estimate, (0, 0), ce, pd.DataFrame([columns | runs]))


def blocks(differences=DIFFERENCES, **same: Any) -> list[BlockDifference]:
    return [block(number, difference, **same) for number, difference in enumerate(differences)]


def p_value(found: Together) -> float:
    return assess(found.estimate).p_value


def test_blocks_on_one_metric_are_in_points() -> None:
    found = together(blocks())
    assert found.unit == "points"
    assert (found.n_blocks, found.n_averaged, found.df) == (6, 0, 5)
    assert p_value(found) == pytest.approx(stats.ttest_1samp(DIFFERENCES, 0).pvalue)
    assert found.counted_as == tuple(f"vlt5 vqa scenes 8 -> {10 + number}" for number in range(6))
    assert found.scope == "blocks of this kind"
    assert found.note == ""


@pytest.mark.trap("stat-41")
def test_blocks_on_several_metrics_are_in_per_cent_of_ce() -> None:
    """Of the block's ce score as a fixed number: no variance of it enters."""
    mixed = [
        block(0, 1.0, ce=50.0),
        block(1, 2.0, metric="CIDEr", ce=80.0),
        *(block(number, 3.0, metric="BLEU", ce=30.0) for number in (2, 3)),
        block(4, -1.0, ce=25.0),
    ]
    found = together(mixed)
    assert found.unit == "% of ce"
    assert found.differences_K.tolist() == pytest.approx([2.0, 2.5, 10.0, 10.0, -4.0])
    assert p_value(found) == pytest.approx(stats.ttest_1samp([2.0, 2.5, 10, 10, -4], 0).pvalue)
    estimate = in_unit(mixed[1], found.unit)
    assert math.sqrt(estimate.variance) == pytest.approx(math.sqrt(0.091) * 100 / 80)


def test_four_blocks_are_not_tested() -> None:
    found = together(blocks(DIFFERENCES[:4]))
    assert found.estimate.trouble == "4 of 5 blocks"
    assert found.estimate.value == pytest.approx(np.mean(DIFFERENCES[:4]))
    assert math.isnan(p_value(found))
    assert math.isnan(found.df)


@pytest.mark.parametrize(
    "shared",
    [
        {"teacher_id": "one"},
        {"seeds": json.dumps({"data_order": 77})},
        {"dataset_options": json.dumps({"seed": 77})},
    ],
    ids=lambda shared: next(iter(shared)),
)
@pytest.mark.trap("stat-42")
def test_blocks_that_share_what_they_are_drawn_from_count_as_one(shared: dict[str, str]) -> None:
    own = blocks(DIFFERENCES[:4])
    alike = [block(number, difference, **shared) for number, difference in ((4, 0.9), (5, 1.4))]
    found = together([*own, *alike])
    assert (found.n_blocks, found.n_averaged) == (5, 2)
    assert found.differences_K.tolist() == pytest.approx([*DIFFERENCES[:4], 1.15])
    assert p_value(found) == pytest.approx(stats.ttest_1samp([*DIFFERENCES[:4], 1.15], 0).pvalue)
    assert found.counted_as[4] == found.counted_as[5] == alike[0].name
    assert "averaged" in found.note


@pytest.mark.parametrize(("of_images", "share", "n_blocks"), [(0.009, 1 / 11, 6), (0.01, 0.1, 5)])
@pytest.mark.trap("stat-43")
def test_blocks_that_share_photos_stay_apart_below_a_tenth_of_the_variance(
    of_images: float, share: float, n_blocks: int
) -> None:
    photos = {"dataset": "daquar", "dataset_options": "{}"}
    own = blocks(DIFFERENCES[:4], of_images=of_images, of_seeds=0.09)
    alike = [block(number, 1.0, of_images=of_images, of_seeds=0.09, **photos) for number in (4, 5)]
    found = together([*own, *alike])
    assert found.share_of_images == pytest.approx(share)
    assert found.n_blocks == n_blocks
    assert "share images" in found.note
    assert ("averaged" in found.note) == (n_blocks == 5)
    over_blocks = np.var(found.differences_K, ddof=1) / n_blocks
    added = of_images / 15 if n_blocks == 6 else 0.0  # one pair of fifteen shares them
    assert found.estimate.variance == pytest.approx(over_blocks + added)


def test_blocks_whose_images_make_an_unknown_part_are_averaged() -> None:
    photos = {"dataset": "daquar", "dataset_options": "{}"}
    made = [block(number, 1.0 + number, **photos) for number in range(5)]
    few = [replace(one, estimate=replace(one.estimate, parts=(), trouble="4 clusters")) for one in made]
    found = together(few)
    assert found.estimate.trouble == "1 of 5 blocks"
    assert "an unknown part" in found.note


def test_with_one_seed_all_variance_may_be_of_images() -> None:
    photos = {"dataset": "daquar", "dataset_options": "{}"}
    found = together([block(number, 1.0 + number, n_seeds=1, **photos) for number in range(6)])
    assert found.share_of_images == 1
    assert found.estimate.trouble == "1 of 5 blocks"


def test_the_numbers_of_blocks_in_which_it_is_better() -> None:
    """One-sided p of each block with two seeds or more, in the direction that is asked for."""
    strong, none = {"of_seeds": 1e-6, "of_images": 1e-9}, {"of_seeds": 1.0, "of_images": 1e-9}
    made = [block(number, 1.0, n_seeds=5, **strong) for number in range(3)]
    made += [block(3, -1.0, n_seeds=5, **strong), block(4, 0.1, n_seeds=5, **none), block(5, 1.0, n_seeds=1)]
    found = together(made)
    assert (found.n_better, found.n_tested) == (3, 5)
    worse = together(made, direction=-1.0)
    assert (worse.n_better, worse.n_tested) == (1, 5)


def test_averaged_blocks_are_better_where_all_of_them_are() -> None:
    strong = {"of_seeds": 1e-6, "of_images": 1e-9, "n_seeds": 5}
    own = [block(number, 1.0, **strong) for number in range(4)]
    twins = [
        block(number, difference, teacher_id="one", **strong) for number, difference in ((4, 1), (5, -0.5))
    ]
    assert together([*own, *twins]).n_better == 4
    twins[1] = replace(twins[1], estimate=replace(twins[1].estimate, value=0.5))
    assert together([*own, *twins]).n_better == 5


def test_a_block_without_scores_is_left_out_and_said_to_be() -> None:
    nothing = replace(block(6, math.nan), estimate=Estimate(math.nan, (), 0, 0, 0, 0.0, "no replicate"))
    found = together([*blocks(), nothing])
    assert p_value(found) == pytest.approx(stats.ttest_1samp(DIFFERENCES, 0).pvalue)
    assert found.note == "left out, without scores of all arms or of ce: 1"
    assert len(found.counted_as) == 7


def test_a_shared_pretraining_is_part_of_the_scope() -> None:
    found = together(blocks(start="pretrain run vlt5-pretraining"))
    assert found.scope == "blocks of this kind, this pre-training"
    assert found.n_blocks == 6


def table_of(made: list[BlockDifference]) -> pd.DataFrame:
    condition = {"teacher_pretraining": "none", "pretraining": "none", "budget": "steps"}
    pairs: Any = SimpleNamespace(pairs=[Pair("amad_kl", "ce", condition, made)])
    return blocks_table(pairs)


def test_a_statement_that_rests_on_leaving_failed_runs_out_is_inconclusive() -> None:
    strong = blocks([2.0, 2.1, 1.9, 2.2, 1.8])
    (row,) = table_of(strong).to_dict("records")
    assert (row["statement"], row["difference_with_failed"]) == ("better", pytest.approx(2.0))
    lost = replace(strong[0], n_failed=(2, 1), with_failed=replace(strong[0].with_failed, value=-20.0))
    (row,) = table_of([lost, *strong[1:]]).to_dict("records")
    assert (row["n_failed_a"], row["n_failed_b"]) == (2, 1)
    assert row["difference_with_failed"] == pytest.approx((-20 + 8) / 5)
    assert row["statement"] == "inconclusive"
    assert row["reason"].startswith("depends on failed runs: better without them")
    assert row["difference"] == pytest.approx(2.0)


def test_a_row_says_what_the_design_shows() -> None:
    (row,) = table_of(blocks([1.0, -1.2, 0.3, 0.9, -0.8])).to_dict("records")
    assert row["statement"] == "inconclusive"
    sd = np.std([1.0, -1.2, 0.3, 0.9, -0.8], ddof=1)
    critical, center = stats.t.isf(0.025, 4), row["shown_80"] / sd * math.sqrt(5)
    power = stats.nct.sf(critical, 4, center) + stats.nct.cdf(-critical, 4, center)
    assert power == pytest.approx(0.8, abs=1e-6)
    assert (row["df"], row["n_seeds_min"], row["heads"], row["over"]) == (4, 2, "unequal", "all")
