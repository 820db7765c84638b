"""The table `means` of a reference: each mean score with the parts of its variance, to be compared elsewhere.

In points: metric value times the scale in the catalogue.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from amad_bench.analysis.collected import Collected
from amad_bench.analysis.comparisons import NAN
from amad_bench.analysis.estimates import CLUSTERS, SEEDS, Estimate
from amad_bench.analysis.measured_by import measured_by
from amad_bench.analysis.score_estimates import estimate_of_mean
from amad_bench.analysis.scores import ScoreMatrix
from amad_bench.analysis.settings import SETTING, Setting
from amad_bench.runtime.errors import UserError

KEYS = [*SETTING, "loss", "split", "metric"]
_COUNTS = ["n_seeds", "n_failed", "n_examples", "n_clusters"]
_PARTS = ["var_seeds", "df_seeds", "var_clusters", "df_clusters"]
MEAN_COLUMNS = [*KEYS, "data_hash", *_COUNTS, "mean", *_PARTS]


def means_table(collected: Collected) -> pd.DataFrame:
    """A row per setting, loss (the teacher's first), whole test set and metric.

    data_hash: of the data set, so of the test examples. var_seeds, var_clusters: parts of the variance of
    the mean with their degrees of freedom; NaN where one run, or too few clusters, do not say them.
    """
    rows = [row for setting in collected.settings for row in _of_setting(collected, setting)]
    return pd.DataFrame(rows, columns=MEAN_COLUMNS)


def as_written(means: pd.DataFrame) -> pd.DataFrame:
    """The table as it is read from a file, its key as text."""
    return _read(io.StringIO(means.to_csv(index=False, lineterminator="\n")))


def read_means(path: Path) -> pd.DataFrame:
    """The table of a reference; UserError for one that is missing, broken or has other columns."""
    try:
        found = _read(path)
    except (OSError, ValueError, KeyError) as error:
        what = "no such file" if not path.exists() else f"no readable table of means ({error})"
        raise UserError(f"{path}: {what}; restore it, or make the reference again") from None
    if list(found.columns) != MEAN_COLUMNS or found.empty:
        raise UserError(f"{path}: of another schema; make the reference again by `amad-bench verify --write`")
    if found.duplicated(KEYS).any():
        raise UserError(f"{path}: a mean stands twice; restore it, or make the reference again")
    return found


def _read(source: Any) -> pd.DataFrame:
    types: Any = dict.fromkeys([*KEYS, "data_hash"], "str")
    types |= dict.fromkeys([*_COUNTS, "mean", *_PARTS], "float64")
    found = pd.read_csv(source, dtype=types)
    texts = [column for column in (*KEYS, "data_hash") if column in found.columns]
    found[texts] = found[texts].fillna("")
    return found


def _of_setting(collected: Collected, setting: Setting) -> Iterator[dict[str, Any]]:
    options = json.loads(setting.students["dataset_options"].iloc[0])
    first, *further = setting.dataset.tests(options)
    metrics = measured_by(setting.axes["task"], setting.dataset, collected.plan.extra_metrics)
    for loss, planned in setting.by_loss().items():
        ids = planned["run_id"].tolist()
        data = " | ".join(sorted(set(planned["data_hash"].dropna())))
        for split, name in {"test": first, **{name: name for name in further}}.items():
            for metric in metrics:
                scored = collected.book.having(ids, metric, split)
                row = setting.axes | {"loss": loss, "split": name, "metric": metric, "data_hash": data}
                row |= {"n_seeds": len(scored), "n_failed": len(ids) - len(scored)}
                if scored:
                    row |= _measured(collected.book.matrix(scored, metric, split))
                yield row


def _measured(matrix: ScoreMatrix) -> dict[str, Any]:
    found = estimate_of_mean(matrix)
    row = {"mean": found.value, "n_examples": found.n_examples, "n_clusters": found.n_clusters}
    for source in (SEEDS, CLUSTERS):
        row |= {f"var_{source}": _variance(found, source), f"df_{source}": found.df(source)}
    return row


def _variance(estimate: Estimate, source: str) -> float:
    return next((part.variance for part in estimate.parts if part.source == source), NAN)
