"""Every test of significance has a record and a file; one more is a file and a record."""

import math
import pkgutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from amad_bench.analysis import significance
from amad_bench.analysis.comparisons import compare
from amad_bench.plan.catalogue import SIGNIFICANCE_TESTS, SignificanceTest

Z_TEST = """
import math

from scipy.stats import norm

from amad_bench.analysis.significance.outcome import ALPHA, Outcome


def assess(estimate, level=ALPHA):
    return Outcome(p_value=2 * norm.sf(abs(estimate.value) / math.sqrt(estimate.variance)))
"""


def test_the_same_tests():
    files = {module.name for module in pkgutil.iter_modules(significance.__path__)}
    assert files - {"outcome"} == set(SIGNIFICANCE_TESTS)


def test_an_unknown_test_is_named():
    with pytest.raises(
        ValueError, match=r"unknown test of significance 'weighed_t'\. Did you mean 'weighted_t'"
    ):
        compare(np.zeros((2, 3)), np.ones((2, 3)), test="weighed_t")


@pytest.fixture
def toy_z(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A test that a stranger adds: one that takes variances for known, in a folder of its own."""
    (tmp_path / "toy_z.py").write_text(Z_TEST)
    monkeypatch.setattr(significance, "__path__", [*significance.__path__, str(tmp_path)])
    record = SignificanceTest("toy_z", "z test", seeds=3)
    monkeypatch.setitem(SIGNIFICANCE_TESTS, "toy_z", record)
    return record.name


def test_one_more_test_is_a_file_and_a_record(toy_z: str):
    rng = np.random.default_rng(2)
    a, b = rng.normal(0.4, 1, (3, 60)), rng.normal(0, 1, (3, 60))
    clusters = np.repeat(np.arange(20), 3)
    own, found = compare(a, b, clusters=clusters), compare(a, b, clusters=clusters, test=toy_z)
    error = math.sqrt(sum(part.variance for part in own.parts))
    expected = 2 * stats.norm.sf(abs(np.mean(a - b)) / error)
    assert found.p_value == pytest.approx(expected, rel=1e-12)
    assert found.difference == pytest.approx(np.mean(a - b))
    assert found.statement == ("better" if expected <= 0.05 else "inconclusive")
    assert found.method == "z test over seeds and clusters, delete-one-cluster jackknife"
    assert math.isnan(found.ci_low)
    assert own.p_value > found.p_value
    within = compare(a, b, clusters=clusters, test=toy_z, region=2.0)
    assert within.p_equivalent == pytest.approx(stats.norm.sf((2.0 - abs(found.difference)) / error))


def test_too_few_seeds_for_a_test_are_said(toy_z: str):
    found = compare(np.eye(2, 19), np.zeros((2, 19)), test=toy_z)
    assert found.statement == "not testable"
    assert found.reason == "z test: needs 3 seeds, there are 2"
