"""Differences of means between machines: a fresh draw of seeds is none, a real shift is one."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from amad_bench.analysis.reference.differences import mean_differences, real
from amad_bench.analysis.reference.means import KEYS, MEAN_COLUMNS, as_written
from amad_bench.analysis.significance.weighted_t import weighted_quantile


def table(scores_MS: np.ndarray, *, data: str = "d", images: float = 0.0) -> pd.DataFrame:
    """A mean per row of scores. images: the part of the variance that clusters add."""
    means, seeds = scores_MS.shape
    columns = {key: [f"{key}{row}" for row in range(means)] for key in KEYS}
    columns |= {
        "data_hash": data,
        "n_seeds": seeds,
        "n_failed": 0,
        "n_examples": 500,
        "n_clusters": 100,
        "mean": scores_MS.mean(axis=1),
        "var_seeds": scores_MS.var(axis=1, ddof=1) / seeds if seeds > 1 else np.nan,
        "df_seeds": seeds - 1 if seeds > 1 else np.nan,
        "var_clusters": images,
        "df_clusters": 99.0,
    }
    return as_written(pd.DataFrame(columns)[MEAN_COLUMNS])


def draw(generator: np.random.Generator, means: int, seeds: int, shift: float = 0.0) -> np.ndarray:
    """Scores of unlike spread around means of their own; shift: of the first of them."""
    centre_M1 = np.linspace(20, 80, means)[:, None]
    centre_M1 = centre_M1 + shift * (np.arange(means) == 0)[:, None]
    return centre_M1 + np.geomspace(0.3, 4, means)[:, None] * generator.normal(0, 1, (means, seeds))


def test_one_mean_by_hand() -> None:
    there, here = np.array([[50.0, 52.0, 54.0]]), np.array([[61.0, 62.0, 63.0]])
    (row,) = mean_differences(table(there), table(here)).to_dict("records")
    variance, critical = (4 + 1) / 3, stats.t.ppf(0.975, 2)
    assert row["difference"] == 10.0
    assert row["ci_high"] - 10 == pytest.approx(critical * variance**0.5)
    assert row["p_value"] == pytest.approx(2 * stats.t.sf(10 / variance**0.5, 2))
    assert row["verdict"] == "different"


@pytest.mark.trap("stat-64")
def test_other_images_add_their_variance() -> None:
    there, here = np.array([[50.0, 52.0, 54.0]]), np.array([[61.0, 62.0, 63.0]])
    (same,) = mean_differences(table(there, images=16.0), table(here, images=16.0)).to_dict("records")
    (other,) = mean_differences(table(there, images=16.0), table(here, data="e", images=16.0)).to_dict(
        "records"
    )
    assert same["verdict"] == "different"  # the images are the same, and nothing differs for them
    assert other["verdict"] == "not different"
    parts, df = np.array([4 / 3, 1 / 3, 16.0, 16.0]), np.array([2, 2, 99, 99])
    width = weighted_quantile(parts, df, 0.05) * parts.sum() ** 0.5
    assert other["ci_high"] - other["ci_low"] == pytest.approx(2 * width)


@pytest.mark.trap("stat-65")
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_a_fresh_draw_of_seeds_is_flagged_in_at_most_5_per_cent(seeds: int) -> None:
    """By the rule itself, vectorised: any of 40 means beyond the level that Holm asks of the first."""
    generator, means = np.random.default_rng(seeds), 40
    flagged = []
    for _ in range(1000):
        there, here = draw(generator, means, seeds), draw(generator, means, seeds)
        parts_MP = np.stack([own.var(axis=1, ddof=1) / seeds for own in (there, here)], axis=-1)
        critical_M = weighted_quantile(parts_MP, np.array([seeds - 1, seeds - 1]), 0.05 / means)
        beyond_M = abs(here.mean(1) - there.mean(1)) > critical_M * np.sqrt(parts_MP.sum(axis=-1))
        flagged.append(beyond_M.any())
    assert np.mean(flagged) <= 0.05


@pytest.mark.trap("stat-65")
@pytest.mark.parametrize(("seeds", "shift"), [(3, 40.0), (5, 6.0), (10, 3.0)])
def test_verdicts_are_that_rule_and_a_real_shift_is_found(seeds: int, shift: float) -> None:
    generator, means = np.random.default_rng(seeds), 12
    alike, shifted = 0, 0
    for _ in range(8):
        there = table(draw(generator, means, seeds))
        alike += len(real(mean_differences(there, table(draw(generator, means, seeds)))))
        found = real(mean_differences(there, table(draw(generator, means, seeds, shift))))
        shifted += "loss0" in set(found["loss"])
    assert alike <= 1
    assert shifted >= 7


def test_what_cannot_be_tested_is_said() -> None:
    scores = np.array([[50.0, 51.0], [40.0, 40.0], [30.0, 30.0], [20.0, 21.0], [10.0, 11.0]])
    there, here = table(scores), table(scores)
    one = table(scores[:, :1] + 3)
    assert set(mean_differences(there, one)["verdict"]) == {"not testable"}
    here.loc[1, "mean"] = 41.0  # no seed varies on either side: chance cannot be told from a shift
    here.loc[3, ["mean", "var_seeds", "var_clusters"]] = np.nan
    found = mean_differences(there, here.iloc[:4])
    assert found["verdict"].tolist() == [
        "equal",
        "not testable",
        "equal",
        "no score on one side",
        "not planned on one side",
    ]
    assert real(found)["loss"].tolist() == ["loss3"]
