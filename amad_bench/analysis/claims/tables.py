"""The tables of registered claims: a row for each claim, and a row for each of its parts."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from amad_bench.analysis.claims.judged import Judged
from amad_bench.analysis.claims.parts import Part
from amad_bench.analysis.collected import Collected
from amad_bench.analysis.comparisons import NAN
from amad_bench.analysis.comparisons import verdict as statement_of
from amad_bench.analysis.holm import holm
from amad_bench.plan.claims.load import claim_hashes

CLAIMS = ["claim", "text", "verdict", "sentence", "reason", "scope", "look", "level", "n_blocks", "n_seeds"]
CLAIMS += ["p_value", "p_holm", "hash", "answered_by", "missing"]
PARTS = ["claim", "part", "direction", "difference", "ci_low", "ci_high", "unit", "p_value", "p_holm_worse"]
PARTS += ["n_blocks", "n_seeds", "shown_80", "statement", "reason"]


def claims_table(collected: Collected) -> pd.DataFrame:
    """One row per claim. p_value: the largest one-sided of its parts; p_holm: after Holm over all claims.

    verdict: supported, contradicted, inconclusive or not testable here. sentence: what may be said, in words;
    reason: the same without the verdict. level: two-sided, of the look; NaN where the look was not planned.
    missing: what the plan lacks, which `answered_by` has. n_blocks, n_seeds: the fewest of a part.
    """
    found, file = collected.claims, collected.plan.claims
    adjusted = holm([each.verdict.p_value for each in found])
    hashes = {} if file is None else claim_hashes(file)
    rows = [_claim(each, p_holm, hashes[each.claim.id]) for each, p_holm in zip(found, adjusted, strict=True)]
    return pd.DataFrame(rows, columns=CLAIMS).astype({"n_blocks": "Int64", "n_seeds": "Int64"})


def _claim(each: Judged, p_holm: float, hash_of_claim: str) -> dict[str, Any]:
    scopes = dict.fromkeys(part.found.scope for part in each.parts if part.found.scope)
    look = each.look
    return {
        "claim": each.claim.id,
        "text": each.claim.text,
        "verdict": each.verdict.word,
        "sentence": each.sentence,
        "reason": each.sentence.partition(": ")[2],
        "scope": "; ".join(scopes),
        "look": look.name if look else "",
        "level": NAN if look is None or look.level is None else look.level,
        "n_blocks": min((part.found.n_blocks for part in each.parts), default=0),
        "n_seeds": min((part.found.estimate.n_seeds for part in each.parts), default=0),
        "p_value": each.verdict.p_value,
        "p_holm": p_holm,
        "hash": hash_of_claim,
        "answered_by": ", ".join(each.claim.answered_by),
        "missing": "; ".join(each.missing),
    }


def claim_parts_table(collected: Collected) -> pd.DataFrame:
    """One row per part of a claim that was looked at.

    difference, ci_low, ci_high: above 0 is better; with the 95 % interval. p_value: one-sided, in the
    direction that is claimed; p_holm_worse: in the other one, after Holm over the parts. statement: of the
    part alone.
    """
    rows = [row for each in collected.claims for row in _parts(each)]
    return pd.DataFrame(rows, columns=PARTS).astype({"n_blocks": "Int64", "n_seeds": "Int64"})


def _parts(each: Judged) -> Iterator[dict[str, Any]]:
    level = each.look.tested_at if each.look else NAN
    for part, p_holm_worse in zip(each.parts, each.verdict.p_holm_worse, strict=True):
        yield {
            "claim": each.claim.id,
            "part": part.name,
            "direction": part.direction,
            "difference": part.value,
            "ci_low": part.low,
            "ci_high": part.high,
            "unit": part.unit,
            "p_value": part.p_value,
            "p_holm_worse": p_holm_worse,
            "n_blocks": part.found.n_blocks,
            "n_seeds": part.found.estimate.n_seeds,
            "shown_80": part.shown_80(level),
            "statement": _statement(part, level),
            "reason": "; ".join(filter(None, [part.sentence, part.found.note])),
        }


def _statement(part: Part, level: float) -> str:
    """Statement of the number that is tested, by itself."""
    two_sided = 2 * min(part.p_value, part.p_worse)
    return statement_of(part.found.estimate.value, two_sided, level=level, trouble=part.trouble).statement
