"""A registered claim, judged: what the tables say about it, and what of that may be said."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from amad_bench.analysis.claims import sentences
from amad_bench.analysis.claims.evidence import Evidence
from amad_bench.analysis.claims.looks import Look, look_at
from amad_bench.analysis.claims.parts import Part, parts_of
from amad_bench.analysis.claims.verdicts import Verdict, verdict
from amad_bench.analysis.collected import Collected
from amad_bench.analysis.failed_runs import failed
from amad_bench.plan.claims.cells import Runs, Unit
from amad_bench.plan.claims.lacking import asked_by, lacking
from amad_bench.plan.claims.looks import Looks
from amad_bench.plan.claims.schema import Claim

DEPENDS = "depends on failed runs"


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
        return sentences.of_claim(self.verdict.word, said, self.reason)


def judged(claim: Claim, looks: Looks, collected: Collected, planned: Sequence[Runs]) -> Judged:
    """The claim by what has been collected. planned: the runs of the plan."""
    if missing := lacking(claim, planned):
        return Judged(claim, Verdict("not testable here", float("nan"), ()), missing=tuple(missing))
    units = [unit for asked in asked_by(claim) for unit in asked.units(planned)]
    look = look_at(looks, units, collected.runs)
    evidence = Evidence(collected, planned, look.replicates)
    parts = parts_of(claim, evidence, look.tested_at)
    found = _verdict(parts, look)
    if look.level is None:
        word = "not testable here" if found.word == "not testable here" else "inconclusive"
        reason = f"exploratory: {look.reason}"
        return Judged(claim, replace(found, word=word), tuple(parts), look, reason=reason)
    if _any_failed(units, collected.runs):
        with_failed = parts_of(claim, replace(evidence, with_failed=True), look.tested_at)
        if _verdict(with_failed, look).word != found.word:
            undecided = replace(found, word="inconclusive")
            return Judged(claim, undecided, tuple(parts), look, reason=DEPENDS)
    reason = "" if parts else "no pair of losses is separated at equal steps"
    return Judged(claim, found, tuple(parts), look, reason=reason)


def _verdict(parts: Sequence[Part], look: Look) -> Verdict:
    return verdict([part.p_value for part in parts], [part.p_worse for part in parts], look.tested_at)


def _any_failed(units: Sequence[Unit], runs: pd.DataFrame) -> bool:
    ids = [run_id for unit in units for _, arm in unit.arms for run_id in arm.run_ids.values()]
    return bool(failed(runs)[runs["run_id"].isin(ids)].any())
