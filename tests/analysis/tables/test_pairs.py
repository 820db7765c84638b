"""Families of pairs: failed runs, one method under two labels, one seed."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from amad_bench.analysis.setting_test import pooled
from amad_bench.analysis.tables.comparisons import comparisons_table, pairs_of_runs_table
from tests.analysis.tables.made import EXAMPLES, made, noisy

VQA = (("vlt5", "vqa"),)
FIVE = ("ce", "logit_kd", "one_to_one", "student_mean", "amad_kl")


def of_loss(plan, label, *replicates):
    return [
        run.id
        for run in plan.runs
        if run.kind == "student" and run.config.loss.label == label and run.config.replicate in replicates
    ]


@pytest.fixture
def plan(fake):
    return fake.plan(tasks=VQA, losses=FIVE, seeds=5)


@pytest.mark.trap("stat-30")
def test_a_verdict_that_failed_runs_change_is_inconclusive(plan) -> None:
    """AMAD is better where it converges; two of its five runs did not."""
    scored, lost = noisy({"amad_kl": 0.7}), of_loss(plan, "amad_kl", 3, 4)
    without = comparisons_table(made(plan, scored)).set_index("loss_b")
    assert set(without["statement"]) == {"better"}
    assert without["difference_with_failed"].isna().all()
    table = made(plan, scored, status=dict.fromkeys(lost, "diverged"), majority=0.1)
    rows = comparisons_table(table).set_index("loss_b")
    assert set(rows["statement"]) == {"inconclusive"}
    assert rows.at["ce", "reason"] == (
        "depends on failed runs: better without them, inconclusive with them at the majority answer"
    )
    counts = ["n_seeds", "n_missing", "n_failed_a", "n_failed_b"]
    assert rows.loc["ce", counts].tolist() == [3, 2, 2, 0]
    by_id = {run.id: run for run in plan.runs}
    means = {
        label: [100 * scored(by_id[run_id]).mean() for run_id in of_loss(plan, label, *range(5))]
        for label in ("amad_kl", "ce")
    }
    filled = [*means["amad_kl"][:3], 10.0, 10.0]
    assert rows.at["ce", "difference_with_failed"] == pytest.approx(np.mean(filled) - np.mean(means["ce"]))
    assert rows.at["ce", "difference"] == pytest.approx(
        np.mean(means["amad_kl"][:3]) - np.mean(means["ce"][:3])
    )


def test_a_verdict_that_failed_runs_leave_stays(plan) -> None:
    scored = noisy({"amad_kl": 0.7})
    lost = dict.fromkeys(of_loss(plan, "ce", 4), "diverged")
    rows = comparisons_table(made(plan, scored, status=lost, majority=0.48)).set_index("loss_b")
    assert rows.at["ce", "statement"] == "better"
    assert rows.at["ce", "reason"].startswith("p = ")
    assert rows.at["ce", "difference_with_failed"] > 0


@pytest.mark.trap("stat-32")
def test_labels_with_the_same_scores_are_one_method(plan) -> None:
    """`student_mean` scores as `logit_kd`, `one_to_one` as AMAD itself: two tests are left in the family."""
    scored, by_id = noisy({"amad_kl": 0.54}), {run.id: run for run in plan.runs}
    twins = {"student_mean": "logit_kd", "one_to_one": "amad_kl"}

    def values(run):
        label = run.config.loss.label if run.kind == "student" else ""
        twin = of_loss(plan, twins[label], run.config.replicate)[0] if label in twins else run.id
        return scored(by_id[twin])

    rows = comparisons_table(made(plan, values)).set_index("loss_b")
    same = rows.loc["one_to_one"]
    assert same["reason"] == "the same scores in all replicates: one method under two labels"
    assert (same["statement"], same["p_value"], same["difference"]) == ("inconclusive", 1, 0)
    tested = ["ce", "logit_kd"]
    expected = multipletests(rows.loc[tested, "p_value"], method="holm")[1]
    np.testing.assert_allclose(rows.loc[tested, "p_holm"], expected)
    assert rows.at["student_mean", "p_holm"] == rows.at["logit_kd", "p_holm"]


@pytest.mark.trap("stat-33")
def test_one_common_replicate_is_a_pair_of_runs_and_in_no_family(plan) -> None:
    scored = noisy({"amad_kl": 0.7})
    lost = dict.fromkeys(of_loss(plan, "ce", 1, 2, 3, 4), "not_run")
    table = made(plan, scored, status=lost)
    family, alone = comparisons_table(table), pairs_of_runs_table(table)
    assert family["loss_b"].tolist() == ["logit_kd", "one_to_one", "student_mean"]
    np.testing.assert_allclose(family["p_holm"], multipletests(family["p_value"], method="holm")[1])
    assert "p_holm" not in alone
    (row,) = alone.to_dict("records")
    assert (row["loss_b"], row["n_seeds"], row["n_missing"]) == ("ce", 1, 4)
    assert (row["scope"], row["statement"]) == ("this pair of runs", "better")
    assert np.isnan(row["df_seeds"])


def test_the_column_about_all_losses_is_the_pooled_t(fake) -> None:
    """With equal clusters and no variance of images the pooled test is Student's t with (L - 1)(S - 1) df."""
    plan = fake.plan(tasks=VQA, losses=FIVE, seeds=3)
    luck = np.random.default_rng(2).normal(0, 0.03, (5, 3))

    def values(run):
        if run.kind != "student":
            return np.full(EXAMPLES, 0.5)
        return np.full(EXAMPLES, 0.5 + luck[FIVE.index(run.config.loss.label), run.config.replicate])

    row = comparisons_table(made(plan, values)).set_index("loss_b").loc["ce"]
    scores_LS = 50 + 100 * luck
    difference = scores_LS[4] - scores_LS[0]
    pool = pooled(scores_LS)
    error = np.sqrt(max(difference.var(ddof=1), 2 * pool.ms_loss_seed) / 3)
    p = 2 * stats.t.sf(abs(difference.mean()) / error, 8)
    assert row["p_setting"] == pytest.approx(p)
    half = stats.t.isf(0.025, 8) * error
    assert row["ci_setting_low"] == pytest.approx(difference.mean() - half)
    assert row["ci_setting_high"] == pytest.approx(difference.mean() + half)
    assert [row["sd_a"], row["sd_b"]] == pytest.approx([scores_LS[4].std(ddof=1), scores_LS[0].std(ddof=1)])
    assert row["levene_p"] == pytest.approx(stats.levene(*scores_LS, center="median").pvalue)


def test_constant_scores_are_no_difference_or_no_variation(plan) -> None:
    levels = {"amad_kl": 0.5, "ce": 0.5, "logit_kd": 0.25}

    def values(run):
        label = run.config.loss.label if run.kind == "student" else ""
        return np.full(EXAMPLES, levels.get(label, 0.75))

    rows = comparisons_table(made(plan, values)).set_index("loss_b")
    assert rows.at["ce", "statement"] == "inconclusive"
    assert rows.at["ce", "reason"].startswith("the same scores")
    assert rows.at["logit_kd", "statement"] == "not testable"
    assert "no variation" in rows.at["logit_kd", "reason"]
    assert rows.at["logit_kd", "difference"] == pytest.approx(25)


def test_variants_of_amad_are_compared_with_each_other(fake) -> None:
    variant = {"name": "amad", "variant": "mse", "label": "amad_mse"}
    plan = fake.plan(
        tasks=VQA,
        losses=("ce", "amad_kl"),
        changes={"losses": [{"name": "ce"}, {"name": "amad", "variant": "kl"}, variant]},
        seeds=2,
    )
    rows = comparisons_table(made(plan, noisy({})))
    assert rows[["loss_a", "loss_b"]].to_numpy().tolist() == [
        ["amad_kl", "ce"],
        ["amad_mse", "ce"],
        ["amad_kl", "amad_mse"],
    ]


@pytest.mark.trap("stat-32")
def test_a_method_under_two_labels_has_its_own_p_under_each(plan) -> None:
    """`student_mean` scores as `logit_kd` and lacks two runs: each row has its own p adjusted."""
    scored, by_id = noisy({"amad_kl": 0.54}), {run.id: run for run in plan.runs}

    def values(run):
        of_twin = run.kind == "student" and run.config.loss.label == "student_mean"
        return scored(by_id[of_loss(plan, "logit_kd", run.config.replicate)[0]] if of_twin else run)

    lost = dict.fromkeys(of_loss(plan, "student_mean", 3, 4), "not_run")
    rows = comparisons_table(made(plan, values, status=lost)).set_index("loss_b")
    assert rows.at["student_mean", "n_seeds"] == 3
    assert rows.at["student_mean", "p_value"] != rows.at["logit_kd", "p_value"]
    for label, of_method in (("logit_kd", "logit_kd"), ("student_mean", "student_mean"), ("ce", "logit_kd")):
        family = rows.loc[["ce", "one_to_one", of_method], "p_value"]
        adjusted = dict(zip(family.index, multipletests(family, method="holm")[1], strict=True))
        assert rows.at[label, "p_holm"] == pytest.approx(adjusted[label])


@pytest.mark.trap("stat-11")
def test_what_is_shown_is_at_the_level_of_the_family(plan) -> None:
    """None of four pairs is significant: one would need .05 / 4, in the column and in the reason."""
    rows = comparisons_table(made(plan, noisy({}))).set_index("loss_b")
    assert set(rows["statement"]) == {"inconclusive"}
    for row in rows.to_dict("records"):
        half = (row["ci_high"] - row["ci_low"]) / 2  # w_s is nearly all of V
        assert row["shown_80"] > half * stats.t.isf(0.05 / 8, 4) / stats.t.isf(0.025, 4)
        shown = float(f"{row['shown_80']:.3g}")
        assert row["reason"] == f"difference that this design shows with 80 % power: {shown:g}"


def test_pairs_that_differ_only_from_example_to_example_have_no_interval(plan) -> None:
    """Each seed's two arms err equally often, on other images: no variance is left, and p is 1."""

    def values(run):
        own = np.ones(EXAMPLES)
        if run.kind == "student" and run.config.loss.label in ("ce", "amad_kl"):
            own[10 * run.config.replicate + 2 * (run.config.loss.label == "ce")] = 0
        return own

    row = comparisons_table(made(plan, values)).set_index("loss_b").loc["ce"]
    assert (row["p_value"], row["difference"]) == (1, 0)
    assert row["reason"] == "no difference, and no variation between seeds or clusters"
    assert np.isnan([row["ci_low"], row["ci_high"], row["shown_80"]]).all()
