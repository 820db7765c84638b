"""The table of results: mean over seeds and its interval, for every metric and part of the test data.

Scores are in points: metric value times the scale in the catalogue. Every row says what the models saw of an
image (features), which splits share images (image_overlap), and what is wrong with its score (warning).
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from amad_bench.analysis.collected import Collected
from amad_bench.analysis.comparisons import NAN, estimate
from amad_bench.analysis.example_groups import images_seed
from amad_bench.analysis.measured_by import measured_by
from amad_bench.analysis.scores import ScoreBook
from amad_bench.analysis.settings import DATA, SETTING, Setting, grouped
from amad_bench.plan.catalogue import METRICS

ALL = "all"  # stands in the column `subset` for a whole test set
SUBSET_GROUPS = ("answer_type", "domain")  # question types are too many for a table of results

_Parts = dict[str, pd.Index | None]  # name in the column `subset` -> ids of its examples, None for all


def results_table(collected: Collected) -> pd.DataFrame:
    """One row per setting, loss (the teacher's first), test set, subset and metric.

    mean, ci_low, ci_high: over seeds, with the 95 % interval. split: the test set's own name, or "test" where
    it has none. subset: "all", and of the first test set its parts by SUBSET_GROUPS. primary: the first test
    set, whole, on the primary metric. n_failed counts planned runs without that score; where all are, the row
    stays, with NaN.
    """
    book, rows = collected.book, []
    for setting in collected.settings:
        shared = setting.axes | setting.data
        metrics = measured_by(setting.axes["task"], setting.dataset, collected.plan.extra_metrics)
        test_sets = _test_sets(setting)
        for loss, planned in setting.by_loss().items():
            run_ids = planned["run_id"].tolist()
            for split, name in test_sets.items():
                first = split == "test"
                parts: _Parts = {ALL: None, **(_subsets(setting, collected.examples) if first else {})}
                for row in _scores_of(book, run_ids, split, parts, metrics):
                    primary = first and row["metric"] == setting.primary_metric and row["subset"] == ALL
                    rows.append(shared | {"loss": loss, "split": name, "primary": primary} | row)
    what = ["loss", "metric", "split", "subset", "primary"]
    measured = ["n_seeds", "n_failed", "n_examples", "mean", "ci_low", "ci_high", "warning"]
    return pd.DataFrame(rows, columns=[*SETTING, *DATA, *what, *measured])


def _test_sets(setting: Setting) -> dict[str, str]:
    """Names of the test sets by their splits in the table `scores`; the first one is the split `test`."""
    first, *further = setting.dataset.tests(_options(setting))
    return {"test": first, **{name: name for name in further}}


def _options(setting: Setting) -> dict[str, Any]:
    """Options of the data set, the same for all runs of a setting."""
    return json.loads(setting.students["dataset_options"].iloc[0])


def _subsets(setting: Setting, examples: pd.DataFrame) -> _Parts:
    """The parts of the split `test`, in the table's order."""
    of_test = examples.loc[
        (examples["dataset"] == setting.axes["dataset"])
        & (examples["task"] == setting.axes["task"])
        & (examples["seed"] == images_seed(_options(setting)))
        & (examples["split"] == "test")
        & examples["group"].isin(SUBSET_GROUPS)
    ]
    groups = sorted(grouped(of_test, ["group", "value"]), key=lambda found: tuple(found[0].values()))
    return {f"{of['group']}: {of['value']}": pd.Index(rows["example_id"]) for of, rows in groups}


def _scores_of(
    book: ScoreBook, run_ids: list[str], split: str, parts: _Parts, metrics: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """The scores of some runs on each part of a split and on each metric."""
    scored = {metric: book.having(run_ids, metric, split) for metric in metrics}
    matrices = {metric: book.matrix(having, metric, split) for metric, having in scored.items() if having}
    for subset, ids in parts.items():
        for metric in metrics:
            count, mean, low, high = 0, NAN, NAN, NAN
            matrix = matrices.get(metric)
            if matrix is not None and ids is not None:
                matrix = matrix.part(ids)
            if matrix is not None and not matrix.examples.empty:
                count = len(matrix.examples)
                mean, low, high = estimate(
                    matrix.values, clusters=matrix.clusters, statistic=matrix.statistic
                )
            yield {
                "metric": metric,
                "subset": subset,
                "n_seeds": len(scored[metric]),
                "n_failed": len(run_ids) - len(scored[metric]),
                "n_examples": count,
                "mean": mean,
                "ci_low": low,
                "ci_high": high,
                "warning": METRICS[metric].warning_on(count) if count else "",
            }
