"""A plan: the runs that a config asks for, and what it leaves out."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from amad_bench.plan.catalogue import ANALYSIS_VERSION, SIGNIFICANCE_TESTS
from amad_bench.plan.claims.load import claim_hashes
from amad_bench.plan.claims.schema import ClaimsFile
from amad_bench.plan.run import Run
from amad_bench.plan.run_config import short_hash
from amad_bench.runtime.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Skip:
    """A combination that is left out. setting: its readable name; reason: one sentence.

    absent: only as long as data or checkpoints are not there.
    """

    setting: str
    reason: str
    family: str
    task: str
    dataset: str
    absent: bool = False


@dataclass(frozen=True)
class Plan:
    """runs: those that others need come first. name: the config's, no part of any identity.

    extra_metrics: those to be computed by one job for all runs. claims: those registered, if any.
    """

    runs: list[Run]
    skipped: list[Skip] = field(default_factory=list[Skip])
    name: str = ""
    extra_metrics: tuple[str, ...] = ()
    claims: ClaimsFile | None = None

    @cached_property
    def by_id(self) -> dict[str, Run]:
        return {run.id: run for run in self.runs}

    @cached_property
    def hash(self) -> str:
        """Changes exactly when the runs, the skipped combinations, their analysis or the claims do."""
        skipped = sorted([skip.setting, skip.reason] for skip in self.skipped)
        parts = {"analysis": ANALYSIS_VERSION, "runs": sorted(self.by_id), "skipped": skipped}
        parts |= {"extra_metrics": self.extra_metrics}
        parts |= {"significance": {name: test.version for name, test in SIGNIFICANCE_TESTS.items()}}
        parts |= {"claims": claim_hashes(self.claims) if self.claims else {}}
        return short_hash(parts, 16)

    def run(self, identifier: str) -> Run:
        """The run of that id; UserError for one that is not in the plan."""
        if identifier not in self.by_id:
            hint = did_you_mean(identifier, self.by_id)
            raise UserError(
                f"run {identifier!r} is not in this plan.{hint} `amad-bench plan --json` lists all ids"
            )
        return self.by_id[identifier]

    def as_dict(self) -> dict[str, list[dict[str, Any]]]:
        """The JSON object that `amad-bench plan --json` prints."""
        return {
            "runs": [{"id": run.id, "kind": run.kind, "config": run.config.canonical()} for run in self.runs],
            "skipped": [{"setting": skip.setting, "reason": skip.reason} for skip in self.skipped],
        }


class NothingToTrain(UserError):
    """Every combination is skipped. skipped: each with its reason."""

    def __init__(self, name: str, skipped: list[Skip]) -> None:
        reasons = "; ".join(dict.fromkeys(skip.reason for skip in skipped))
        super().__init__(f"{name}: the plan has no students, since everything is skipped: {reasons}")
        self.skipped = skipped

    def __reduce__(self) -> tuple[Any, ...]:
        return UserError, self.args
