"""Numbers of claims against scipy's on the same scores, and what is no claim: looks, failures, one method."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from amad_bench.analysis.claims.tables import claim_parts_table, claims_table
from amad_bench.plan.run import Run
from tests.analysis.claims.worlds import (
    A_B,
    EFFECTS,
    SETTING,
    block_means,
    claims,
    few,
    in_setting,
    over_blocks,
    points_of,
    tables,
    world,
)


@pytest.mark.parametrize("direction", ["better", "worse"])
def test_over_blocks_it_is_scipys_t_test(direction: str) -> None:
    found = world(EFFECTS, claims=claims(**over_blocks(direction=direction)), **few())
    row, part = tables(found)
    differences = block_means(found, {"amad_kl": 1, "logit_kd": -1})
    side = "greater" if direction == "better" else "less"
    expected = stats.ttest_1samp(differences, 0, alternative=side)
    interval = stats.ttest_1samp(differences, 0).confidence_interval()
    assert part["difference"] == pytest.approx(differences.mean())
    assert row["p_value"] == part["p_value"] == pytest.approx(expected.pvalue)
    assert (part["ci_low"], part["ci_high"]) == pytest.approx((interval.low, interval.high))
    assert (part["unit"], part["n_blocks"], part["n_seeds"]) == ("points", 6, 3)


def test_weights_of_three_arms() -> None:
    arms = [
        {"weight": 2.0, "loss": "amad_kl"},
        {"weight": -1.0, "loss": "logit_kd"},
        {"weight": -1.0, "loss": "ce"},
    ]
    found = world(EFFECTS, claims=claims(**over_blocks(arms=arms)), **few())
    _, part = tables(found)
    differences = block_means(found, {"amad_kl": 2, "logit_kd": -1, "ce": -1})
    assert part["difference"] == pytest.approx(differences.mean())
    assert part["p_value"] == pytest.approx(stats.ttest_1samp(differences, 0, alternative="greater").pvalue)
    assert part["part"] == "2 AMAD - logit KD - training on labels"


def test_the_slope_is_that_of_least_squares() -> None:
    found = world(EFFECTS, claims=claims(slope={"arms": A_B}), **few())
    _, part = tables(found)
    doublings = np.log2([2, 4, 8, 2, 4, 8])
    expected = stats.linregress(doublings, block_means(found, {"amad_kl": 1, "logit_kd": -1}))
    assert part["difference"] == pytest.approx(expected.slope)
    two_sided = 2 * min(part["p_value"], 1 - part["p_value"])
    assert two_sided == pytest.approx(expected.pvalue)
    assert part["unit"] == "points a doubling"


def test_a_share_over_blocks_is_fiellers() -> None:
    gain = [{"weight": 1.0, "loss": "logit_kd"}, {"weight": -1.0, "loss": "ce"}]
    gap = [{"weight": 1.0, "loss": "amad_kl"}, {"weight": -1.0, "loss": "ce"}]
    share = {"over": "blocks", "gain": gain, "gap": gap, "more_than": 0.2}
    effects = {"logit_kd": 4.0, "amad_kl": 10.0}
    found = world(effects, claims=claims(shares=[share]), **few())
    parts = claim_parts_table(found)
    d, g = (block_means(found, {loss: 1, "ce": -1}) for loss in ("logit_kd", "amad_kl"))
    # closed form: (D - s G)^2 = t^2 (V_D - 2 s C + s^2 V_G)
    cov, t = np.cov(d, g) / 6, stats.t.isf(0.025, 5)
    a, b, c = g.mean() ** 2 - t**2 * cov[1, 1], d.mean() * g.mean() - t**2 * cov[0, 1], d.mean() ** 2
    root = np.sqrt(b**2 - a * (c - t**2 * cov[0, 0]))
    row = parts.iloc[1]
    assert row["difference"] == pytest.approx(100 * d.mean() / g.mean())
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((100 * (b - root) / a, 100 * (b + root) / a))
    assert row["p_value"] == pytest.approx(stats.ttest_1samp(d - 0.2 * g, 0, alternative="greater").pvalue)
    assert parts.iloc[0]["difference"] == pytest.approx(g.mean())
    assert claims_table(found)["verdict"].item() == "supported"


def test_in_a_setting_seeds_and_images_count() -> None:
    found = world(EFFECTS, claims=claims(**in_setting()), **few())
    row, part = tables(found)
    a, b = (points_of(found, family="vlt5", student_heads=2, loss=loss) for loss in ("amad_kl", "logit_kd"))
    assert part["difference"] == pytest.approx((a - b).mean())
    assert (part["n_blocks"], part["n_seeds"]) == (1, 3)
    assert row["scope"] == "this teacher"
    # both seeds and images add to the variance: no less than what seeds alone would give
    seeds_only = stats.ttest_rel(a, b, alternative="greater").pvalue
    assert part["p_value"] != pytest.approx(seeds_only)


def test_a_share_in_a_setting_at_no_seeds_and_at_three() -> None:
    gain = [{"weight": 1.0, "loss": "logit_kd"}, {"weight": -1.0, "loss": "ce"}]
    gap = [{"weight": 1.0, "loss": "amad_kl"}, {"weight": -1.0, "loss": "ce"}]
    share = {"over": "setting", "where": SETTING, "gain": gain, "gap": gap}
    found = world({"logit_kd": 30.0, "amad_kl": 60.0}, claims=claims(shares=[share]), **few())
    row = claim_parts_table(found).iloc[1]
    d, g = (
        points_of(found, **SETTING, loss=loss).mean() - points_of(found, **SETTING, loss="ce").mean()
        for loss in ("logit_kd", "amad_kl")
    )
    assert row["difference"] == pytest.approx(100 * d / g)
    assert row["ci_low"] < row["difference"] < row["ci_high"]
    assert row["unit"] == "% of the gap"


def test_arms_on_other_images_add_their_variances() -> None:
    """AMAD's lead with 2 heads against its lead with 4: four arms, two blocks with images of their own."""
    arms = [
        {"weight": sign * weight, "loss": loss, "student_heads": heads}
        for heads, sign in ((2, 1.0), (4, -1.0))
        for loss, weight in (("amad_kl", 1.0), ("logit_kd", -1.0))
    ]
    where = {"family": "vlt5", "task": "vqa"}
    found = world(EFFECTS, claims=claims(**in_setting(arms, where=where)), **few())
    _, part = tables(found)
    leads = [
        points_of(found, family="vlt5", student_heads=heads, loss="amad_kl").mean()
        - points_of(found, family="vlt5", student_heads=heads, loss="logit_kd").mean()
        for heads in (2, 4)
    ]
    assert part["difference"] == pytest.approx(leads[0] - leads[1])
    alone = [
        tables(world(EFFECTS, claims=claims(**in_setting(where=where | {"student_heads": heads})), **few()))[
            1
        ]
        for heads in (2, 4)
    ]
    widths = [one["ci_high"] - one["ci_low"] for one in (*alone, part)]
    assert max(widths[:2]) < widths[2] < sum(widths[:2])


@pytest.mark.trap("stat-83")
def test_labels_with_equal_scores_are_one_method() -> None:
    found = world(EFFECTS, claims=claims(**over_blocks()), **few())
    scores = found.scores
    scores["value"] = scores.groupby("run_id").cumcount() / 12
    row, part = tables(found)
    assert row["verdict"] == "not testable here"
    assert "amad_kl and logit_kd are one method: equal scores in all replicates" in row["sentence"]
    assert part["statement"] == "not testable"


@pytest.mark.trap("stat-82")
def test_a_verdict_that_failed_runs_would_change_is_none() -> None:
    def diverged(run: Run) -> str:
        of_a = run.config.loss.label == "amad_kl" and run.kind == "student"
        return "diverged" if of_a and run.config.replicate == 0 else "done"

    known = claims(**over_blocks())
    assert tables(world({"amad_kl": 6.0}, claims=known, **few()))[0]["verdict"] == "supported"
    row, part = tables(world({"amad_kl": 6.0}, claims=known, status=diverged, **few()))
    assert row["verdict"] == "inconclusive"
    assert row["sentence"].endswith("depends on failed runs.")
    assert part["p_value"] < 0.025  # without them
    assert (row["n_seeds"], row["look"]) == (2, "the only one")


@pytest.mark.trap("stat-81")
@pytest.mark.parametrize(
    ("looks", "ended", "level", "look"),
    [
        ("once", 5, 0.05, "the only one"),
        ("once", 4, None, "exploratory"),
        ([3, 5, 10], 5, 0.010, "at 5 seeds (planned: 3, 5 and 10)"),
        ([3, 5, 10], 4, None, "exploratory"),
        ([3, 5, 10], 3, 0.005, "at 3 seeds (planned: 3, 5 and 10)"),
    ],
)
def test_looks(looks: Any, ended: int, level: float | None, look: str) -> None:
    def status(run: Run) -> str:
        return "done" if run.kind != "student" or run.config.replicate < ended else "not_run"

    found = world({"amad_kl": 6.0}, claims=claims(looks, **over_blocks()), status=status, seeds=5, **few())
    row, part = tables(found)
    assert row["look"] == look
    assert part["n_seeds"] == ended
    if level is None:
        assert row["verdict"] == "inconclusive"
        assert "exploratory: " in row["sentence"]
        assert np.isnan(row["level"])
    else:
        assert row["level"] == level
        assert row["verdict"] == "supported"


def test_a_replicate_counts_when_all_of_its_runs_have_ended() -> None:
    """Of the last two replicates of five a single run, in one of six blocks, is missing."""

    def status(run: Run) -> str:
        late = run.config.loss.label == "logit_kd" and run.config.replicate >= 3
        here = run.config.family == "blip" and run.config.model.heads == 2
        return "not_run" if run.kind == "student" and late and here else "done"

    file = claims([3, 5, 10], **over_blocks())
    row, part = tables(world({"amad_kl": 6.0}, claims=file, status=status, seeds=5, **few()))
    assert (row["look"], row["level"], part["n_seeds"]) == ("at 3 seeds (planned: 3, 5 and 10)", 0.005, 3)


def test_a_look_is_stricter_than_one_alone() -> None:
    """p one-sided between .0025 and .025: enough for a single look, not for the first of three."""
    file = {"effects": {"amad_kl": 0.8, "logit_kd": 0.0}, "block_sd": 0.5}
    single = tables(world(claims=claims(**over_blocks()), **few(), **file))
    planned = tables(world(claims=claims([3, 5, 10], **over_blocks()), **few(), **file))
    assert 0.0025 < single[1]["p_value"] == planned[1]["p_value"] < 0.025
    assert (single[0]["verdict"], planned[0]["verdict"]) == ("supported", "inconclusive")


def test_without_results_nothing_is_testable() -> None:
    found = world(EFFECTS, claims=claims(**over_blocks()), status=lambda _: "not_run", **few())
    row, part = tables(found)
    assert row["verdict"] == "not testable here"
    assert row["sentence"] == "Not testable here: no replicate has ended in all of its arms."
    assert part is None


def test_no_claims_no_rows() -> None:
    found = world(EFFECTS, **few())
    nothing = replace(found, plan=replace(found.plan, claims=None))
    assert claims_table(nothing).empty
    assert claim_parts_table(nothing).empty
    assert list(claims_table(nothing).columns) == list(claims_table(found).columns)


@pytest.mark.parametrize(("over", "kind"), [("setting", "this teacher"), ("blocks", "blocks of this kind")])
def test_a_pretraining_is_part_of_the_scope_where_one_alone_is_there(over: str, kind: str) -> None:
    """Blocks with images of their own have a pre-training each, so that over them nothing is shared."""
    arms = [
        {"weight": 1.0, "loss": "amad_kl", "pretraining": "none"},
        {"weight": -1.0, "loss": "ce", "pretraining": "vl"},
    ]
    where = {"teacher_pretraining": "vl"} | (SETTING if over == "setting" else {})
    file = claims(contrasts=[{"over": over, "where": where, "arms": arms}])
    row, _ = tables(world(EFFECTS, claims=file, conditions=("none", "vl"), seeds=2, **few()))
    assert row["scope"] == kind + (", this pre-training" if over == "setting" else "")
