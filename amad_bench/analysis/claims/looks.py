"""Choice of which look at the runs it is: a look that nobody planned decides nothing."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd

from amad_bench.plan.claims.cells import Unit
from amad_bench.plan.claims.looks import ONCE, ONE_LOOK, Looks, joined, level_of
from amad_bench.plan.claims.report import plural
from amad_bench.runtime.errors import STATUSES


@dataclass(frozen=True)
class Look:
    """replicates: those that count. level: two-sided, None where the look is not planned: then it is
    exploratory, and `reason` says why. name: as tables say it.
    """

    name: str
    replicates: Collection[int]
    level: float | None
    reason: str = ""

    @property
    def tested_at(self) -> float:
        """The level at which numbers are shown, whatever they decide."""
        return ONE_LOOK if self.level is None else self.level


def look_at(looks: Looks, units: Sequence[Unit], runs: pd.DataFrame) -> Look:
    """The look that these runs allow, by the replicates of which every planned run has ended.

    units: of all contrasts of a claim; where blocks have other numbers of seeds, each counts with those that
    it has.
    """
    ended = set(runs.loc[runs["status"].isin(STATUSES), "run_id"])
    planned: dict[int, set[str]] = {}
    for unit in units:
        for _, arm in unit.arms:
            for replicate, run_id in arm.run_ids.items():
                planned.setdefault(replicate, set()).add(run_id)
    complete = {replicate for replicate, of_replicate in planned.items() if of_replicate <= ended}
    left = len(set[str]().union(*planned.values()) - ended)
    seeds = plural(len(complete), "seed")
    if looks == ONCE:
        if left:
            reason = f"{left} of its planned runs have not ended, and one look at all of them is planned"
            return Look("exploratory", complete, None, reason)
        return Look("the only one", complete, ONE_LOOK)
    planned_looks = joined([str(look) for look in looks])
    level = level_of(looks, len(complete))
    if level is None:
        return Look("exploratory", complete, None, f"{seeds} are no planned look ({planned_looks} are)")
    return Look(f"at {seeds} (planned: {planned_looks})", complete, level)
