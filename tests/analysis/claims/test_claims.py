"""The shipped claims in worlds whose truth is known: each verdict of each claim."""

import re
from functools import cache

import pytest

from amad_bench.analysis.claims.tables import claim_parts_table, claims_table
from amad_bench.analysis.collected import Collected
from amad_bench.plan.run import Run
from tests.analysis.claims.worlds import VARIANTS, Level, world

FLOPS = {"budgets": ["steps", "flops"]}
IN_SETTINGS = ("C1", "C1-vlt5", "C1-blip", "C4", "C5", "C6", "C7", "C8")
WITH_PRETRAINING = ("C2", "C3")
RIVALS = dict.fromkeys(("logit_kd", "one_to_one"), 2.0) | {"student_mean": 3.0}
RIVALS |= {"amad_mse": 2.0, "amad_projected": 1.0, "amad_token": 1.0}


def turned(drawn: Level) -> Level:
    """At equal FLOPs AMAD gains more than it loses at equal steps."""

    def points(run: Run) -> float:
        return drawn(run) + (16.0 if run.budget == "flops" and run.config.loss.name == "amad" else 0.0)

    return points


def noisy(drawn: Level) -> Level:
    """At equal FLOPs every block has another order."""

    def points(run: Run) -> float:
        heads = run.config.model.heads
        return drawn(run) + (
            9.0 * (-1) ** heads * len(run.config.loss.label) / 8 if run.budget == "flops" else 0
        )

    return points


@cache
def verdicts(what: str) -> dict[str, str]:
    """By claim the verdict in a world where all is so."""
    return dict(claims_table(_world(what))[["claim", "verdict"]].itertuples(index=False, name=None))


@cache
def _world(what: str) -> Collected:
    match what:
        case "supported":
            return world(
                RIVALS | {"amad_kl": 6.0, "amad_kl_sharp": 9.0},
                per_doubling={"one_to_one": -1.5},
                changes=FLOPS,
            )
        case "contradicted":
            effects = {"amad_kl": -4.0, "amad_kl_sharp": -8.0}
            return world(effects, per_doubling={"one_to_one": 2.0}, changes=FLOPS, level=turned)
        case "inconclusive":
            return world({"ce": 0.0}, changes=FLOPS, level=noisy, block_sd=2.0, seeds=2)
        case "nothing can be said":
            return world(RIVALS | {"amad_kl": 6.0}, tasks=(("vlt5", "vqa"),), students=(2,))
        case "pre-training made up for":
            return _pretrained(20.0)
        case "pre-training not made up for":
            return _pretrained(-5.0)
        case "pre-training perhaps made up for":
            return _pretrained(1.0, block_sd=3.0, pretrained=1.0)
    raise ValueError(what)


def _pretrained(effect: float, **truth: float) -> Collected:
    losses = {"losses": [{"name": "ce"}, VARIANTS["amad_kl"]]}
    well = {"well_taught": 0.0}
    return world({"amad_kl": effect}, conditions=("none", "vl"), changes=losses, seeds=2, **well | truth)


@pytest.mark.trap("stat-49")
@pytest.mark.parametrize("claim", IN_SETTINGS)
@pytest.mark.parametrize(
    "verdict",
    [
        "supported",
        pytest.param("contradicted", marks=pytest.mark.slow),
        pytest.param("inconclusive", marks=pytest.mark.slow),
    ],
)
def test_verdicts_within_one_pretraining(claim: str, verdict: str) -> None:
    assert verdicts(verdict)[claim] == verdict


@pytest.mark.parametrize("claim", WITH_PRETRAINING)
@pytest.mark.parametrize(
    ("what", "verdict"),
    [
        ("pre-training made up for", "supported"),
        ("pre-training not made up for", "contradicted"),
        ("pre-training perhaps made up for", "inconclusive"),
    ],
)
def test_verdicts_across_pretraining(claim: str, what: str, verdict: str) -> None:
    assert verdicts(what)[claim] == verdict


@pytest.mark.parametrize("claim", [*IN_SETTINGS, *WITH_PRETRAINING])
def test_what_is_missing_is_said(claim: str) -> None:
    found = _world("nothing can be said")
    row = claims_table(found).set_index("claim").loc[claim]
    assert row["verdict"] == "not testable here"
    assert row["missing"]
    assert row["sentence"].startswith("Not testable here: missing ")
    assert claim not in set(claim_parts_table(found)["claim"])


def test_sentences_have_their_numbers() -> None:
    found = _world("supported")
    claims, parts = claims_table(found).set_index("claim"), claim_parts_table(found)
    row = parts[parts["claim"] == "C5"].iloc[0]
    assert row["unit"] == "% of ce"
    assert claims.at["C5", "sentence"] == (
        f"Supported: AMAD leads its uniform control by {row['difference']:.1f} % of the score of ce over "
        f"12 blocks (95 % interval: {row['ci_low']:.1f} to {row['ci_high']:.1f} ahead)."
    )
    assert re.fullmatch(
        r"Supported: (\d+) of \1 pairs of losses that equal steps separate are separated alike at equal "
        r"FLOPs\.",
        claims.at["C8", "sentence"],
    )
    assert set(claims["hash"].str.len()) == {12}
    assert claims["level"].dropna().eq(0.05).all()
