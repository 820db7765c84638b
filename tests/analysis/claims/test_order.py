"""An order of losses at equal FLOPs: which pairs it is made of, and what is said where one is not known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from amad_bench.plan.run import Run
from tests.analysis.claims.worlds import block_means, claims, few, tables, world

ORDER = {"order": {"over": "blocks", "losses": ["ce", "logit_kd", "amad_kl"]}}
BUDGETS = {"budgets": ["steps", "flops"]}


@pytest.mark.trap("stat-49")
@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (
            "steps",
            "1 of 1 pair of losses that equal steps separate are separated alike at equal FLOPs; "
            "2 pairs cannot be tested at equal steps (4 of 5 blocks)",
        ),
        (
            "flops",
            "1 of 3 pairs of losses that equal steps separate are separated alike at equal FLOPs; "
            "at equal FLOPs training on labels - AMAD: 4 of 5 blocks; "
            "at equal FLOPs logit KD - AMAD: 4 of 5 blocks",
        ),
    ],
)
def test_an_order_of_which_a_pair_is_not_testable_is_not_testable(budget: str, said: str) -> None:
    """At one of the budgets AMAD has runs in four blocks of six; what is not known is not kept."""

    def status(run: Run) -> str:
        gone = run.config.loss.label == "amad_kl" and run.budget == budget and run.config.model.heads == 4
        return "teacher_failed" if gone else "done"

    effects = {"logit_kd": 6.0, "amad_kl": 12.0}
    found = world(effects, claims=claims(**ORDER), status=status, **few(BUDGETS))
    assert tables(world(effects, claims=claims(**ORDER), **few(BUDGETS)))[0]["verdict"] == "supported"
    row, _ = tables(found)
    assert (row["verdict"], np.isnan(row["p_value"])) == ("not testable here", True)
    assert row["sentence"] == f"Not testable here: {said}."


def test_an_order_holds_the_pairs_that_holm_separates_at_equal_steps() -> None:
    """Of three pairs two have p between .0167 and .05 at equal steps: each alone would be separated."""
    found = world({"logit_kd": 0.6, "amad_kl": 0.6}, claims=claims(**ORDER), **few(BUDGETS))
    at_steps = replace(found, runs=found.runs[found.runs["budget"].str.contains("steps", na=False)])
    for loss in ("logit_kd", "amad_kl"):
        assert 0.017 < stats.ttest_1samp(block_means(at_steps, {loss: 1, "ce": -1}), 0).pvalue < 0.05
    row, part = tables(found)
    assert (row["verdict"], part) == ("inconclusive", None)
    assert row["sentence"] == "Not shown: no pair of losses is separated at equal steps."
