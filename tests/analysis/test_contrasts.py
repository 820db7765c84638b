"""Contrasts of arms against sums and mean squares computed in another way."""

import re

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.anova import anova_lm

from amad_bench.analysis.contrasts import NO_REPLICATE, Arm, contrast
from amad_bench.analysis.estimates import CLUSTERS, SEEDS
from amad_bench.analysis.scores import ScoreBook
from amad_bench.runtime.errors import UserError
from tests.analysis.oracles import sacre_bleu

EXAMPLES = 40
OF_BLEU = {"task": "translation"}


def runs(name: str, seeds: int = 3, images: str = "1", status: str = "done", **columns) -> pd.DataFrame:
    """Rows of the table `runs`: replicates of one method."""
    shared = {"task": "vqa", "dataset": "scenes", "dataset_options": f'{{"seed": {images}}}', "limit": "none"}
    shared |= {"loss": name, "teacher_id": "teacher", "assistant": None, "status": status} | columns
    return pd.DataFrame([shared | {"run_id": f"{name}{seed}", "replicate": seed} for seed in range(seeds)])


def page(run_id: str, values, split: str = "test", metric: str = "vqa_accuracy", per_cluster: int = 2):
    """Scores of a run; (N, K) values are statistics."""
    values = np.asarray(values, dtype=float)
    numbers = range(len(values))
    return pd.DataFrame(
        {
            "run_id": run_id,
            "split": split,
            "metric": metric,
            "example_id": [f"e{number:03d}" for number in numbers],
            "cluster_id": [f"c{number // per_cluster:03d}" for number in numbers],
            "value": values if values.ndim == 1 else np.nan,
            "statistics": list(values) if values.ndim == 2 else None,
        }
    )


def drawn(*names: str, seeds: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    """Shares of right answers of each method: (S, N)."""
    generator = np.random.default_rng(seed)
    return {name: generator.random((seeds, EXAMPLES)) for name in names}


def book_of(values: dict[str, np.ndarray], **changes) -> ScoreBook:
    pages = [page(f"{name}{s}", own[s], **changes) for name, own in values.items() for s in range(len(own))]
    return ScoreBook(pd.concat(pages, ignore_index=True))


def mean_squares(table_SC: np.ndarray) -> dict[str, float]:
    """Of the two-way table of equal clusters, by statsmodels."""
    seed, cluster = np.indices(table_SC.shape).reshape(2, -1)
    frame = pd.DataFrame({"value": table_SC.ravel(), "seed": seed, "cluster": cluster})
    table = anova_lm(smf.ols("value ~ C(seed) + C(cluster)", frame).fit())
    return dict(zip(("seed", "cluster", "error"), table["mean_sq"], strict=True))


@pytest.mark.parametrize("weights", [(1.0, -1.0), (1.0, -1.0, -1.0, 1.0), (0.5, 0.5, -1.0)])
def test_arms_on_the_same_examples_are_paired(weights) -> None:
    values = drawn("a", "b", "c", "d")
    arms = [Arm(runs(name), weight) for name, weight in zip(values, weights, strict=False)]
    found = contrast(book_of(values), arms, "vqa_accuracy")
    mixed_SN = 100 * sum(w * own for w, own in zip(weights, values.values(), strict=False))
    clusters_SC = mixed_SN.reshape(3, -1, 2).mean(axis=2)  # equal clusters: pseudo-values are their means
    squares, count = mean_squares(clusters_SC), clusters_SC.size
    assert found.estimate.value == pytest.approx(mixed_SN.mean())
    parts = {part.source: (part.variance, part.df) for part in found.estimate.parts}
    assert parts[SEEDS] == pytest.approx((squares["seed"] / count, 2))
    assert parts[CLUSTERS] == pytest.approx(
        (max(squares["cluster"] - squares["error"], 0) / count, EXAMPLES / 2 - 1)
    )
    assert (found.n_missing, found.same, found.scope) == (0, False, "this teacher")
    for own_S, name in zip(found.scores, values, strict=False):
        np.testing.assert_allclose(own_S, 100 * values[name].mean(axis=1))


def test_arms_on_other_images_add_their_variances() -> None:
    """Two arms see images of their own, under the same ids, as generated images have them."""
    values = drawn("a", "b", "c", "d")
    book = book_of(values)
    others = {"c": "2", "d": "2"}
    arms = [
        Arm(runs(name, images=others.get(name, "1")), weight)
        for name, weight in (("a", 1.0), ("c", -1.0), ("b", -1.0), ("d", 1.0))
    ]
    found = contrast(book, arms, "vqa_accuracy")
    halves = [contrast(book, [arms[i], arms[j]], "vqa_accuracy").estimate for i, j in ((0, 2), (1, 3))]
    assert found.estimate.value == pytest.approx(sum(half.value for half in halves))
    assert found.estimate.variance == pytest.approx(sum(half.variance for half in halves))
    assert len(found.estimate.parts) == 4
    means = [100 * values[name].mean() for name in "acbd"]
    assert [own.mean() for own in found.scores] == pytest.approx(means)  # in the order of the arms


def test_a_corpus_metric_is_that_of_all_sentences() -> None:
    generator = np.random.default_rng(3)
    values = {}
    for name in ("a", "b"):
        total = np.tile([10.0, 9, 8, 7], (3, EXAMPLES, 1))
        right = generator.binomial(total.astype(int), [0.7, 0.5, 0.4, 0.3])
        values[name] = np.concatenate([np.full((3, EXAMPLES, 2), 10.0), right, total], axis=2)
    arms = [Arm(runs("a", **OF_BLEU), 1.0), Arm(runs("b", **OF_BLEU), -1.0)]
    book = book_of(values, metric="BLEU")
    found = contrast(book, arms, "BLEU")
    expected = {n: [sacre_bleu(page(n, own, metric="BLEU")) for own in values[n]] for n in values}
    assert found.estimate.value == pytest.approx(np.mean(expected["a"]) - np.mean(expected["b"]))
    np.testing.assert_allclose(found.scores[1], expected["b"])
    left_out = [
        sacre_bleu(page("a", np.delete(values["a"][0], (2 * c, 2 * c + 1), axis=0), metric="BLEU"))
        - sacre_bleu(page("b", np.delete(values["b"][0], (2 * c, 2 * c + 1), axis=0), metric="BLEU"))
        for c in range(EXAMPLES // 2)
    ]  # of one seed: its jackknife variance
    one = contrast(book, [Arm(arm.runs.head(1), arm.weight) for arm in arms], "BLEU")
    count = len(left_out)
    jackknife = (count - 1) / count * np.square(np.subtract(left_out, np.mean(left_out))).sum()
    assert one.estimate.variance == pytest.approx(jackknife)
    assert one.scope == "this pair of runs"


def test_a_seed_missing_in_one_arm_leaves_the_common_ones() -> None:
    values = drawn("a", "b")
    book = book_of({"a": values["a"], "b": values["b"][:2]})
    found = contrast(book, [Arm(runs("a"), 1.0), Arm(runs("b"), -1.0)], "vqa_accuracy")
    assert found.estimate.value == pytest.approx(100 * (values["a"][:2] - values["b"][:2]).mean())
    assert (found.estimate.n_seeds, found.n_missing, found.n_failed) == (2, 1, (0, 0))
    unplanned = contrast(book, [Arm(runs("a"), 1.0), Arm(runs("b", seeds=2), -1.0)], "vqa_accuracy")
    assert (unplanned.estimate.n_seeds, unplanned.n_missing) == (2, 1)


def test_no_common_replicate_is_not_testable() -> None:
    values = drawn("a", "b", seeds=1)
    late = runs("b").assign(replicate=[5, 6, 7])
    found = contrast(book_of(values), [Arm(runs("a"), 1.0), Arm(late, -1.0)], "vqa_accuracy")
    assert found.estimate.trouble == NO_REPLICATE
    assert np.isnan(found.estimate.value)
    assert found.n_missing == 6


def failing(seeds: int = 3) -> pd.DataFrame:
    """Replicates of `b`, of which the last diverged."""
    return runs("b", seeds).assign(status=["done"] * (seeds - 1) + ["diverged"])


def test_failed_runs_count_with_the_majority_answer() -> None:
    values = drawn("a", "b")
    values["b"] = values["b"][:2]
    pages = [page(f"{name}{s}", row) for name, own in values.items() for s, row in enumerate(own)]
    generator = np.random.default_rng(5)
    majority = generator.random(EXAMPLES)
    plain = runs("ce", 1)
    book = ScoreBook(pd.concat([*pages, page("ce0", majority, split="test_majority")]))
    arms = [Arm(runs("a"), 1.0), Arm(failing(), -1.0)]
    without = contrast(book, arms, "vqa_accuracy")
    assert (without.estimate.n_seeds, without.n_missing, without.n_failed) == (2, 1, (0, 1))
    found = contrast(book, arms, "vqa_accuracy", controls=plain)
    filled = np.stack([*values["b"], majority])
    assert found.estimate.value == pytest.approx(100 * (values["a"] - filled).mean())
    assert (found.estimate.n_seeds, found.n_missing) == (3, 0)
    elsewhere = contrast(book, arms, "vqa_accuracy", controls=runs("ce", 1, images="2"))
    zero = np.stack([*values["b"], np.zeros(EXAMPLES)])
    assert elsewhere.estimate.value == pytest.approx(100 * (values["a"] - zero).mean())


@pytest.mark.parametrize(
    ("status", "assistant", "counts"),
    [
        ("diverged", None, True),
        ("out_of_memory", None, True),
        ("teacher_failed", None, False),
        ("teacher_failed", "amad_kl with 4 heads", True),
        ("not_run", None, False),
        ("metric_unavailable", None, False),
    ],
)
def test_what_counts_as_failed(status, assistant, counts) -> None:
    values = drawn("a", "b")
    book = book_of({"a": values["a"], "b": values["b"][:2]})
    lost = failing().assign(status=["done", "done", status], assistant=assistant)
    found = contrast(book, [Arm(runs("a"), 1.0), Arm(lost, -1.0)], "vqa_accuracy", controls=runs("ce"))
    assert (found.n_failed[1], found.estimate.n_seeds) == ((1, 3) if counts else (0, 2))


def test_a_failed_run_has_no_edit_rate() -> None:
    generator = np.random.default_rng(6)
    values = {name: generator.integers(1, 9, (3, EXAMPLES, 2)).astype(float) for name in ("a", "b")}
    book = book_of({"a": values["a"], "b": values["b"][:2]}, metric="TER")
    arms = [Arm(runs("a", **OF_BLEU), 1.0), Arm(failing().assign(**OF_BLEU), -1.0)]
    assert contrast(book, arms, "TER").estimate.trouble == ""
    assert "failed runs have no TER" in contrast(book, arms, "TER", controls=runs("ce")).estimate.trouble


def test_equal_scores_in_all_replicates_are_one_method() -> None:
    values = drawn("a")
    book = book_of({"a": values["a"], "b": values["a"].copy(), "c": values["a"] + np.eye(3, EXAMPLES)})
    of = {name: runs(name) for name in "abc"}
    found = contrast(book, [Arm(of["a"], 1.0), Arm(of["b"], -1.0)], "vqa_accuracy")
    assert found.same
    assert found.estimate.value == 0
    assert not contrast(book, [Arm(of["a"], 1.0), Arm(of["c"], -1.0)], "vqa_accuracy").same
    assert not contrast(book, [Arm(of["a"], 1.0)], "vqa_accuracy").same


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"value": np.nan}, "run b1: example e007 has a score that is no number; delete"),
        ({"cluster_id": None}, "run b1: example e007 has a score without a cluster; delete"),
        (
            {"example_id": "x"},
            "run b1: its example_ids on the split test are not those of run a0",
        ),
    ],
)
def test_what_is_wrong_with_scores_is_one_line(change, line) -> None:
    pages = [page(f"{name}{s}", own[s]) for name, own in drawn("a", "b").items() for s in range(3)]
    for column, value in change.items():
        pages[4].loc[7, column] = value
    book = ScoreBook(pd.concat(pages))
    with pytest.raises(UserError, match="vqa_accuracy of " + re.escape(line)) as caught:
        contrast(book, [Arm(runs("a"), 1.0), Arm(runs("b"), -1.0)], "vqa_accuracy")
    assert len(caught.value.messages) == 1


def test_each_replicates_own_teacher_widens_the_scope() -> None:
    book = book_of(drawn("a", "b"))
    several = runs("a").assign(teacher_id=["t0", "t1", "t2"])
    arms = [Arm(several, 1.0), Arm(runs("b", teacher_id=None), -1.0)]
    assert contrast(book, arms, "vqa_accuracy").scope == "teachers of this kind"


def test_an_arm_has_one_set_of_examples() -> None:
    mixed = pd.concat([runs("a", 1), runs("b", 1, images="2")])
    with pytest.raises(ValueError, match="an arm is tested on 2 sets of examples"):
        contrast(book_of(drawn("a", "b", seeds=1)), [Arm(mixed, 1.0)], "vqa_accuracy")
