"""Runs that failed by what they are, not by what they were given."""

import pandas as pd

from amad_bench.plan.standing import FAILED_FOR_ANOTHER
from amad_bench.runtime.errors import STATUSES, USABLE


def failed(runs: pd.DataFrame) -> pd.Series:
    """True for each of these rows of `runs` that ended without a model by its own method.

    A run whose teacher or pre-training failed says nothing about its own method and is only missing; one
    whose assistant failed counts, for the assistant is part of the method.
    """
    own = [status for status in STATUSES if status not in (*USABLE, *FAILED_FOR_ANOTHER)]
    lost = [
        status in own or (status in FAILED_FOR_ANOTHER and pd.notna(assistant))
        for status, assistant in zip(runs["status"], runs["assistant"], strict=True)
    ]
    return pd.Series(lost, runs.index, dtype=bool)
