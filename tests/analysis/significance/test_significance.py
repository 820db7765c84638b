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

SIGN_TEST = """
import numpy as np
from scipy.stats import binomtest

from amad_bench.analysis.significance.outcome import Outcome


def assess(center, influence_SC, tolerance):
    of_clusters_C = influence_SC.mean(axis=0)
    decided_C = of_clusters_C[np.abs(of_clusters_C) > tolerance]
    found = binomtest(int((decided_C > 0).sum()), len(decided_C))
    return Outcome(p_value=float(found.pvalue), method="sign test over clusters")
"""


def test_the_same_tests():
    files = {module.name for module in pkgutil.iter_modules(significance.__path__)}
    assert files - {"outcome"} == set(SIGNIFICANCE_TESTS)


def test_an_unknown_test_is_named():
    with pytest.raises(ValueError, match=r"unknown test of significance 'cross'\. Did you mean 'crossed'"):
        compare(np.zeros((2, 3)), np.ones((2, 3)), test="cross")


@pytest.fixture
def toy_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A test that a stranger adds: a sign test, in a folder of its own."""
    (tmp_path / "toy_sign.py").write_text(SIGN_TEST)
    monkeypatch.setattr(significance, "__path__", [*significance.__path__, str(tmp_path)])
    record = SignificanceTest("toy_sign", "sign test", seeds=3)
    monkeypatch.setitem(SIGNIFICANCE_TESTS, "toy_sign", record)
    return record.name


def test_one_more_test_is_a_file_and_a_record(toy_sign: str):
    rng = np.random.default_rng(2)
    a, b = rng.normal(0.4, 1, (3, 60)), rng.normal(0, 1, (3, 60))
    clusters = np.repeat(np.arange(20), 3)
    above = int(((a - b).reshape(3, 20, 3).mean(axis=(0, 2)) > 0).sum())
    expected = stats.binomtest(above, 20).pvalue
    found = compare(a, b, clusters=clusters, test=toy_sign)
    assert 10 < above < 20
    assert found.p_value == pytest.approx(expected, rel=1e-12)
    assert found.difference == pytest.approx(np.mean(a - b))
    assert found.statement == ("better" if expected <= 0.05 else "inconclusive")
    assert found.reason == f"p = {expected:.2g}"  # it has no interval to say more
    assert found.method == "sign test over clusters, influence values of the mean"
    assert math.isnan(found.ci_low)
    assert math.isnan(found.df)
    assert compare(a, b, clusters=clusters).p_value != found.p_value


def test_too_few_seeds_for_a_test_are_said(toy_sign: str):
    found = compare(np.eye(2, 9), np.zeros((2, 9)), test=toy_sign)
    assert found.statement == "not testable"
    assert found.reason == "sign test: needs 3 seeds, there are 2"
