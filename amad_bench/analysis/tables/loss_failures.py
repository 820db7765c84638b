"""Failures of the training of each loss."""

from typing import Any

import pandas as pd
from scipy.stats import binomtest

from amad_bench.analysis.collected import Collected
from amad_bench.analysis.failed_runs import failed
from amad_bench.analysis.settings import grouped
from amad_bench.runtime.errors import USABLE

_OF = ["family", "task", "loss"]


def loss_failures_table(collected: Collected) -> pd.DataFrame:
    """One row per family, task and loss: its planned students, how many ended and failed by themselves.

    share: failed of ended, with the 95 % interval of Clopper and Pearson (1934); NaN where none has ended. A
    run that failed for its teacher or pre-training counts as neither.
    """
    students: Any = collected.runs[collected.runs["kind"] == "student"]
    rows = []
    for values, own in grouped(students, _OF):
        lost = sum(failed(own))
        ended = lost + sum(status in USABLE for status in own["status"])
        row = values | {"planned": len(own), "ended": ended, "failed": lost}
        if ended:
            low, high = binomtest(lost, ended).proportion_ci(0.95, "exact")
            row |= {"share": lost / ended, "ci_low": low, "ci_high": high}
        rows.append(row)
    return pd.DataFrame(rows, columns=[*_OF, "planned", "ended", "failed", "share", "ci_low", "ci_high"])
