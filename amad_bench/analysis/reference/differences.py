"""Means of a reference against those of another machine: is a difference more than a fresh draw of seeds?"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from amad_bench.analysis.comparisons import ROUNDING
from amad_bench.analysis.estimates import CLUSTERS, SEEDS, Estimate, Part
from amad_bench.analysis.holm import holm
from amad_bench.analysis.reference.means import KEYS
from amad_bench.analysis.significance.outcome import ALPHA
from amad_bench.analysis.significance.weighted_t import assess

DIFFERENT, ALIKE, EQUAL = "different", "not different", "equal"
NOT_TESTABLE, NO_SCORE, ONE_SIDE = "not testable", "no score on one side", "not planned on one side"
_FOUND = ["difference", "ci_low", "ci_high", "p_value", "verdict"]


def mean_differences(there: pd.DataFrame, here: pd.DataFrame) -> pd.DataFrame:
    """A row per mean of either table: here minus there, with interval, p and verdict.

    there, here: tables `means` as they are read from files. The variances of both are added, those of seeds
    and, unless both were tested on the same data, of clusters, which else are the same in both. `p_holm` is
    adjusted over all means that can be tested, and decides.
    """
    both = there.merge(here, "outer", KEYS, suffixes=("_there", "_here"), indicator="side", sort=False)
    rows = [_compared(row) for row in both.to_dict("records")]
    compared = pd.DataFrame(rows, columns=_FOUND, index=both.index)
    found: Any = pd.concat([both, compared], axis=1)
    found["p_holm"] = holm(found["p_value"].to_numpy(dtype=np.float64))
    found.loc[found["p_holm"] <= ALPHA, "verdict"] = DIFFERENT
    return found


def real(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that are a real difference: significant, or a mean that only one side has runs for."""
    found: Any = table[table["verdict"].isin([DIFFERENT, NO_SCORE])]
    return found


def _compared(row: Mapping[Any, Any]) -> dict[str, Any]:
    if row["side"] != "both":
        return {"verdict": ONE_SIDE}
    means = row["mean_there"], row["mean_here"]
    if pd.isna(means[0]) and pd.isna(means[1]):
        return {"verdict": EQUAL}
    if pd.isna(means[0]) or pd.isna(means[1]):
        return {"verdict": NO_SCORE}
    sources = [SEEDS] if row["data_hash_there"] == row["data_hash_here"] else [SEEDS, CLUSTERS]
    parts = tuple(
        Part(source, row[f"var_{source}_{side}"], row[f"df_{source}_{side}"])
        for source in sources
        for side in ("there", "here")
    )
    difference = {"difference": means[1] - means[0]}
    if any(pd.isna(part.variance) for part in parts):
        return difference | {"verdict": EQUAL if means[0] == means[1] else NOT_TESTABLE}
    seeds = min(row["n_seeds_there"], row["n_seeds_here"])
    tolerance = ROUNDING * max(map(abs, means))
    estimate = Estimate(means[1] - means[0], parts, int(seeds), 0, 0, tolerance)
    outcome = assess(estimate)
    if outcome.trouble:
        return difference | {"verdict": NOT_TESTABLE}
    tested = {"ci_low": outcome.ci_low, "ci_high": outcome.ci_high, "p_value": outcome.p_value}
    verdict = EQUAL if means[0] == means[1] else ALIKE
    return difference | tested | {"verdict": verdict}
