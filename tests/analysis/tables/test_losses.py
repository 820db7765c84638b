"""Tables about all losses of a setting: ranks, sources of variance, failures, intervals of single means."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.proportion import proportion_confint

from amad_bench.analysis.loss_scores import full_table
from amad_bench.analysis.tables.loss_failures import loss_failures_table
from amad_bench.analysis.tables.ranks import ranks_table
from amad_bench.analysis.tables.results import results_table
from amad_bench.analysis.tables.variance import variance_table
from tests.analysis.tables.made import EXAMPLES, PER_IMAGE, made, noisy

VQA = (("vlt5", "vqa"),)
LOSSES = ("ce", "logit_kd", "student_mean", "amad_kl")


@pytest.fixture
def plan(fake):
    return fake.plan(tasks=VQA, losses=LOSSES, seeds=5)


def of_loss(plan, label):
    return [run for run in plan.runs if run.kind == "student" and run.config.loss.label == label]


def ranks_of(table: pd.DataFrame) -> dict[str, list[int]]:
    return table.set_index("loss")[["best_rank", "worst_rank"]].T.to_dict("list")


@pytest.mark.trap("stat-34")
def test_ranks_are_open_where_nothing_is_significant(plan) -> None:
    """One loss far above, one far below, two alike between."""
    table = ranks_table(made(plan, noisy({"amad_kl": 0.75, "ce": 0.25})))
    assert ranks_of(table) == {"ce": [4, 4], "logit_kd": [2, 3], "student_mean": [2, 3], "amad_kl": [1, 1]}
    assert set(table["n_losses"]) == {4}


def test_ranks_of_one_method_under_two_labels_and_of_no_scores(plan) -> None:
    scored = noisy({"amad_kl": 0.75})
    lost = {run.id: "diverged" for run in of_loss(plan, "student_mean")}
    twins = dict(zip((run.id for run in of_loss(plan, "logit_kd")), of_loss(plan, "amad_kl"), strict=True))
    table = ranks_table(made(plan, lambda run: scored(twins.get(run.id, run)), status=lost))
    assert set(table["n_losses"]) == {2}
    found = table.set_index("loss")
    assert found.loc["amad_kl", ["best_rank", "worst_rank"]].tolist() == [1, 1]
    assert (
        found.loc["logit_kd", ["mean", "best_rank"]].tolist()
        == found.loc["amad_kl", ["mean", "best_rank"]].tolist()
    )
    assert found.loc[["student_mean"], ["mean", "best_rank", "worst_rank"]].isna().all(axis=None)


def test_one_seed_ranks_nothing(fake) -> None:
    plan = fake.plan(tasks=VQA, losses=LOSSES, seeds=1)
    assert set(map(tuple, ranks_of(ranks_table(made(plan, noisy({"amad_kl": 0.9})))).values())) == {(1, 4)}


def test_sources_of_variance(plan) -> None:
    """Equal clusters: influence values are means of clusters, analysed by statsmodels."""
    scored = noisy({"amad_kl": 0.6})
    table = variance_table(made(plan, scored))
    assert table["source"].tolist() == ["seed", "loss x seed", "image", "loss x image", "residual"]
    assert table["share"].sum() == pytest.approx(1)
    rows = [
        {"value": value, "loss": label, "seed": seed, "image": image}
        for label in LOSSES
        for seed, run in enumerate(of_loss(plan, label))
        for image, value in enumerate(100 * scored(run).reshape(-1, PER_IMAGE).mean(axis=1))
    ]
    formula = "value ~ C(loss) + C(seed) + C(loss):C(seed) + C(image) + C(loss):C(image)"
    expected = anova_lm(smf.ols(formula, pd.DataFrame(rows)).fit()).loc[
        ["C(seed)", "C(loss):C(seed)", "C(image)", "C(loss):C(image)", "Residual"]
    ]
    np.testing.assert_allclose(table["ms"], expected["mean_sq"])
    np.testing.assert_allclose(table["df"], expected["df"])
    assert set(map(tuple, table[["n_losses", "n_seeds", "n_clusters"]].to_numpy())) == {
        (4, 5, EXAMPLES // PER_IMAGE)
    }


def test_no_table_of_variance_without_two_losses_with_two_seeds(fake) -> None:
    assert variance_table(made(fake.plan(tasks=VQA, losses=LOSSES, seeds=1), noisy({}))).empty
    assert variance_table(made(fake.plan(tasks=VQA, losses=("ce",), seeds=3), noisy({}))).empty


def test_the_full_table_has_most_degrees_of_freedom() -> None:
    """A loss with two of ten seeds is left out; one with nine of them costs a seed and brings a loss."""
    ten = dict.fromkeys(range(10), 0.0)
    nine, two = {key: ten[key] for key in range(1, 10)}, {key: ten[key] for key in range(2)}
    assert full_table({"two": two, "a": ten, "nine": nine, "b": ten}) == (["a", "nine", "b"], [*range(1, 10)])
    assert full_table({"a": two, "b": two}) == (["a", "b"], [0, 1])
    assert full_table({"a": two, "b": {5: 0.0}}) == ([], [])
    assert full_table({}) == ([], [])


@pytest.mark.trap("stat-31")
def test_failures_of_each_loss(plan) -> None:
    first, second, third, *_ = of_loss(plan, "amad_kl")
    status = {first.id: "diverged", second.id: "out_of_memory", third.id: "not_run"}
    status |= {run.id: "teacher_failed" for run in of_loss(plan, "logit_kd")}
    table = loss_failures_table(made(plan, noisy({}), status=status)).set_index("loss")
    row = table.loc["amad_kl"]
    assert row[["planned", "ended", "failed", "share"]].tolist() == [5, 4, 2, 0.5]
    assert row[["ci_low", "ci_high"]].tolist() == pytest.approx(proportion_confint(2, 4, method="beta"))
    assert table.loc["ce", ["failed", "share", "ci_low"]].tolist() == [0, 0, 0]
    assert table.at["ce", "ci_high"] == pytest.approx(proportion_confint(0, 5, method="beta")[1])
    assert table.loc["logit_kd", ["planned", "ended", "failed"]].tolist() == [5, 0, 0]
    assert np.isnan(table.at["logit_kd", "share"])


def test_intervals_of_means_pool_what_seeds_add(plan) -> None:
    """Without variance of images: Student's t of the pooled variance of all losses, here of L (S - 1) df."""
    luck = np.random.default_rng(4).normal(0, 0.03, (4, 5))
    luck -= luck.mean(axis=0)  # no effect that losses share: MS_S is 0

    def values(run):
        if run.kind != "student":
            return np.full(EXAMPLES, 0.5)
        return np.full(EXAMPLES, 0.5 + luck[LOSSES.index(run.config.loss.label), run.config.replicate])

    rows = results_table(made(plan, values)).query("primary").set_index("loss")
    left = luck - luck.mean(axis=1, keepdims=True)
    ms_loss_seed = 100**2 * np.square(left - left.mean(axis=0)).sum() / 12
    half = stats.t.isf(0.025, 12) * np.sqrt(3 * ms_loss_seed / 4 / 5)
    for place, loss in enumerate(LOSSES):
        mean = 50 + 100 * luck[place].mean()
        assert rows.loc[loss, ["mean", "ci_low", "ci_high"]].tolist() == pytest.approx(
            [mean, mean - half, mean + half]
        )
    assert np.isnan(rows.at["teacher", "ci_low"])  # one run without variance


def test_a_loss_near_the_floor_lends_nothing_to_the_others(fake) -> None:
    """Of two losses one is at 2 points, where m (100 - m) is small: each has its own variance."""
    plan = fake.plan(tasks=VQA, losses=("ce", "amad_kl"), seeds=3)
    luck = {"ce": [0.019, 0.02, 0.021], "amad_kl": [0.4, 0.5, 0.6]}

    def values(run):
        own = luck[run.config.loss.label] if run.kind == "student" else [0.5]
        return np.full(EXAMPLES, own[run.config.replicate])

    rows = results_table(made(plan, values)).query("primary").set_index("loss")
    half = stats.t.isf(0.025, 2) * 10 / np.sqrt(3)
    assert rows.at["amad_kl", "ci_high"] == pytest.approx(50 + half)


def test_two_labels_of_one_method_have_one_interval(plan) -> None:
    scored, by_id = noisy({}), {run.id: run for run in plan.runs}

    def values(run):
        if run.kind == "student" and run.config.loss.label == "logit_kd":
            return scored(by_id[of_loss(plan, "ce")[run.config.replicate].id])
        return scored(run)

    rows = results_table(made(plan, values)).query("primary").set_index("loss")
    columns = ["mean", "ci_low", "ci_high"]
    assert rows.loc["logit_kd", columns].tolist() == rows.loc["ce", columns].tolist()
