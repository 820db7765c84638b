"""Verdicts in the words of the tables."""

from amad_bench.analysis.report.verdicts import shown_claims, summary
from amad_bench.runtime.results import TableName
from tests.analysis.report.conftest import tables


def test_claims_are_counted_by_verdict():
    claims = tables()[TableName.CLAIMS]
    assert summary(claims) == "2 claims were registered before the runs: 1 supported, 1 not testable here."
    assert summary(claims.head(1)) == "1 claim was registered before the runs: 1 supported."
    assert "all that follows is exploratory" in summary(claims.head(0))


def test_a_claim_has_its_parts_and_no_others():
    made = tables()
    first, second = shown_claims(made[TableName.CLAIMS], made[TableName.CLAIM_PARTS])
    assert first.parts is not None
    assert first.parts.name == "claim_C1"
    assert second.parts is None
    assert second.row["look"] == second.row["p_holm"] == ""


def test_what_cannot_be_tested_comes_last():
    made = tables()
    claims = made[TableName.CLAIMS].iloc[::-1]
    assert [claim.row["claim"] for claim in shown_claims(claims, made[TableName.CLAIM_PARTS])] == ["C1", "C2"]
