"""A registered claim, judged: what the tables say about it, and what of that may be said."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

from amad_bench.analysis.blocks.of_losses import ce_scores
from amad_bench.analysis.claims import sentences
from amad_bench.analysis.claims.evidence import Evidence
from amad_bench.analysis.claims.looks import Look, look_at
from amad_bench.analysis.claims.parts import AT_EQUAL_STEPS, Part, parts_of
from amad_bench.analysis.claims.verdicts import Verdict, verdict
from amad_bench.analysis.comparisons import NAN
from amad_bench.analysis.failed_runs import failed
from amad_bench.plan.claims.cells import Unit
from amad_bench.plan.claims.lacking import asked_by, lacking
from amad_bench.plan.claims.looks import Looks
from amad_bench.plan.claims.planned import planned_runs
from amad_bench.plan.claims.schema import Claim

if TYPE_CHECKING:
    from amad_bench.analysis.collected import Collected

DEPENDS = "depends on failed runs"
NOTHING_ENDED = "no replicate has ended in all of its arms"


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict. parts: what it rests on; look: None where nothing could be looked at.
    missing: what the plan lacks. reason: why the verdict is not what its numbers alone would say, or "".
    """

    claim: Claim
    verdict: Verdict
    parts: tuple[Part, ...] = ()
    look: Look | None = None
    missing: tuple[str, ...] = ()
    reason: str = ""

    @property
    def sentence(self) -> str:
        """The whole sentence about it."""
        if self.missing:
            return sentences.of_missing(self.claim, self.missing)
        said = [part.sentence for part in self.parts]
        if self.claim.order is not None and self.look is not None and self.look.replicates:
            unknown = [part.trouble for part in self.parts if part.name.endswith(AT_EQUAL_STEPS)]
            kept = sum(part.p_value <= self.look.tested_at / 2 for part in self.parts)
            changed = [
                part.sentence
                for part in self.parts
                if not part.name.endswith(AT_EQUAL_STEPS) and not part.p_value <= self.look.tested_at / 2
            ]
            said = [sentences.of_order(kept, changed, unknown)]
        return sentences.of_claim(self.verdict.word, said, self.reason)


def judged_claims(collected: "Collected") -> list[Judged]:
    """The claims that the plan registers, in their file's order, judged by what has been collected."""
    file = collected.plan.claims
    if file is None:
        return []
    evidence = Evidence(collected.runs, collected.book, planned_runs(collected.plan), ce_scores(collected))
    return [_judged(claim, file.looks, evidence) for claim in file.claims]


def _judged(claim: Claim, looks: Looks, evidence: Evidence) -> Judged:
    """evidence: of all replicates that are planned."""
    if missing := lacking(claim, evidence.planned):
        return Judged(claim, Verdict("not testable here", NAN, ()), missing=tuple(missing))
    units = [unit for asked in asked_by(claim) for unit in asked.units(evidence.planned)]
    look = look_at(looks, units, evidence.runs)
    if not look.replicates:
        return Judged(claim, Verdict("not testable here", NAN, ()), look=look, reason=NOTHING_ENDED)
    evidence = replace(evidence, replicates=look.replicates)
    parts = parts_of(claim, evidence, look.tested_at)
    found = _verdict(parts, look)
    if look.level is None:
        word = "not testable here" if found.word == "not testable here" else "inconclusive"
        reason = f"exploratory: {look.reason}"
        return Judged(claim, replace(found, word=word), tuple(parts), look, reason=reason)
    if _any_failed(units, evidence.runs):
        with_failed = parts_of(claim, replace(evidence, with_failed=True), look.tested_at)
        if _verdict(with_failed, look).word != found.word:
            undecided = replace(found, word="inconclusive")
            return Judged(claim, undecided, tuple(parts), look, reason=DEPENDS)
    return Judged(claim, found, tuple(parts), look)


def _verdict(parts: Sequence[Part], look: Look) -> Verdict:
    return verdict([part.p_value for part in parts], [part.p_worse for part in parts], look.tested_at)


def _any_failed(units: Sequence[Unit], runs: pd.DataFrame) -> bool:
    ids = {run_id for unit in units for _, arm in unit.arms for run_id in arm.run_ids.values()}
    return any(lost and run_id in ids for run_id, lost in zip(runs["run_id"], failed(runs), strict=True))
