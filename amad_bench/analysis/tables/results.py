"""The table of results: mean over seeds and its interval, for every metric and part of the test data.

Scores are in points: metric value times the scale in the catalogue. Every row says what the models saw of an
image (features), which splits share images (image_overlap), and what is wrong with its score (warning).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from amad_bench.analysis.collected import Collected
from amad_bench.analysis.comparisons import NAN
from amad_bench.analysis.estimates import Estimate
from amad_bench.analysis.example_groups import images_seed
from amad_bench.analysis.loss_scores import ByReplicate, as_array, full_table
from amad_bench.analysis.measured_by import measured_by
from amad_bench.analysis.score_estimates import estimate_of_mean
from amad_bench.analysis.scores import ScoreBook
from amad_bench.analysis.setting_test import SHARE, alike, mean_interval, pooled
from amad_bench.analysis.settings import DATA, SETTING, Setting, grouped
from amad_bench.analysis.tables.pairs import losses_of, methods_of
from amad_bench.plan.catalogue import METRICS, Metric

ALL = "all"  # stands in the column `subset` for a whole test set
SUBSET_GROUPS = ("answer_type", "domain")  # question types are too many for a table of results

_Parts = dict[str, pd.Index | None]  # name in the column `subset` -> ids of its examples, None for all


@dataclass(frozen=True)
class _Measured:
    """A loss on a part of a test set. scores: by replicate, in points; estimate: of their mean."""

    estimate: Estimate
    scores: ByReplicate


def results_table(collected: Collected) -> pd.DataFrame:
    """One row per setting, loss (the teacher's first), test set, subset and metric.

    mean: over seeds. ci_low, ci_high: its 95 % interval, with what seeds add pooled over the setting's losses
    that vary about as much, on metrics from 0 to 100; from its own seeds alone where a loss lacks replicates
    of the others, and over images alone with one seed. split: the test set's own name, or "test" where it has
    none. subset: "all", and of the first test set its parts by SUBSET_GROUPS. primary: the first test set,
    whole, on the primary metric. n_failed counts planned runs without that score; where all are, the row
    stays, with NaN.
    """
    rows = []
    for setting in collected.settings:
        metrics = measured_by(setting.axes["task"], setting.dataset, collected.plan.extra_metrics)
        losses, shared = setting.by_loss(), setting.axes | setting.data
        methods = methods_of(collected.book, losses_of(setting), setting.primary_metric)
        of_splits = {}
        for split in _test_sets(setting):
            parts: _Parts = {ALL: None, **(_subsets(setting, collected.examples) if split == "test" else {})}
            of_splits[split] = _of_split(collected.book, losses, split, metrics, parts)
        for loss, planned in losses.items():
            for split, name in _test_sets(setting).items():
                for (subset, metric), found in of_splits[split].items():
                    primary = split == "test" and (metric, subset) == (setting.primary_metric, ALL)
                    row = {
                        "loss": loss,
                        "metric": metric,
                        "split": name,
                        "subset": subset,
                        "primary": primary,
                    }
                    comparable = {
                        label: found[label].scores for label in found if methods.get(label) == label
                    }
                    method = methods.get(loss, loss)
                    numbers = _numbers(method, found.get(loss), comparable, METRICS[metric])
                    row |= numbers | {"n_failed": len(planned) - numbers["n_seeds"]}
                    rows.append(shared | row | {"subset": subset, "primary": primary})
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


def _of_split(
    book: ScoreBook, losses: Mapping[str, pd.DataFrame], split: str, metrics: Sequence[str], parts: _Parts
) -> dict[tuple[str, str], dict[str, _Measured]]:
    """By (subset, metric), in the table's order, the losses that have such scores."""
    found: dict[tuple[str, str], dict[str, _Measured]] = {
        (subset, metric): {} for subset in parts for metric in metrics
    }
    for metric in metrics:
        for loss, runs in losses.items():
            replicates = dict(zip(runs["run_id"], map(int, runs["replicate"]), strict=True))
            having = book.having([*replicates], metric, split)
            if not having:
                continue
            whole = book.matrix(having, metric, split)
            for subset, ids in parts.items():
                matrix = whole if ids is None else whole.part(ids)
                if not matrix.examples.empty:
                    by_replicate = zip(map(replicates.__getitem__, having), matrix.scores_S(), strict=True)
                    found[subset, metric][loss] = _Measured(estimate_of_mean(matrix), dict(by_replicate))
    return found


def _numbers(
    method: str, found: _Measured | None, comparable: Mapping[str, ByReplicate], metric: Metric
) -> dict[str, Any]:
    """Columns of a loss.

    comparable: scores of the students' losses, where labels with the same are one method; method: that of
    this loss.
    """
    if found is None:
        nothing = dict.fromkeys(("mean", "ci_low", "ci_high"), NAN)
        return {"n_seeds": 0, "n_examples": 0, "warning": ""} | nothing
    estimate, pool = found.estimate, None
    labels, replicates = full_table(comparable)
    if (metric.minimum, metric.maximum) == SHARE and method in labels:
        table_LS, place = as_array(comparable, labels, replicates), labels.index(method)
        alike_L = alike(table_LS, (place, place))
        pool = pooled(table_LS[alike_L]) if alike_L.sum() > 1 else None
    low, high = mean_interval(estimate, pool)
    return {
        "n_seeds": estimate.n_seeds,
        "n_examples": estimate.n_examples,
        "mean": estimate.value,
        "ci_low": low,
        "ci_high": high,
        "warning": metric.warning_on(estimate.n_examples),
    }
