"""Validation scores over training steps, and how soon each pre-training condition reaches a fixed one."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from amad_bench.analysis.settings import TRAINED_ON
from amad_bench.runtime.errors import USABLE
from amad_bench.runtime.run_folder.steps import Validation

_, SCORE, LOSS = Validation._fields  # columns that are named as in the step log
_OF_RUN = ["run_id", "kind", "family", "task", "dataset", "heads", "loss", "pretraining", "replicate"]
_MODEL = ["kind", "teacher_heads", "teacher_pretraining", "heads", "shape", "heads_keep", "loss"]
_MODEL += ["budget", "block"]
# Runs alike in these differ in their pre-training condition and replicate only. `model` is not the student's
# name: without pre-training, sizes that differ in their checkpoints are one.
GROUP = [*TRAINED_ON, *_MODEL, "model"]
CONDITION = ["pretraining", "cut", "student"]
SHOWN_GROUP = [*TRAINED_ON, *_MODEL, "student"]  # as the paper shows it
SHOWN = [*TRAINED_ON, *_MODEL, *CONDITION]  # the model's shape says enough
MEASURED = {  # of the table `steps_to_score`, with the type of the column
    "n_runs": "Int64",
    "n_failed": "Int64",
    "fixed_score": "float64",
    "first_step": "Int64",
    "reached": "str",
    "best_score": "float64",
    "best_step": "Int64",
}


def learning_curves(runs: pd.DataFrame, found: Mapping[str, Sequence[Validation]]) -> pd.DataFrame:
    """The table `learning_curves`: a row per validation, with what its run is; in the order of `runs`.

    found: validations by run id.
    """
    rows = [(run_id, *validation) for run_id, own in found.items() for validation in own]
    lines = pd.DataFrame(rows, columns=["run_id", "step", SCORE, LOSS])
    lines = lines.astype({"run_id": runs["run_id"].dtype, "step": "int64", SCORE: "float64", LOSS: "float64"})
    return runs[_OF_RUN].merge(lines, on="run_id", validate="one_to_many")


def comparable(runs: pd.DataFrame) -> pd.DataFrame:
    """The planned teachers and students that have others beside them with another pre-training condition.

    Rows of `runs` with two more columns: numbers of their `group` (alike in GROUP) and of their `condition`
    therein. Whoever learns without a teacher (`ce`) stands in one group, whatever the teacher's condition.
    """
    planned: Any = runs[runs["kind"] != "pretrain"]
    conditions = planned.groupby(GROUP, dropna=False)["pretraining"].transform("nunique")
    planned = planned[conditions > 1]
    return planned.assign(
        group=planned.groupby(GROUP, sort=False, dropna=False).ngroup(),
        condition=planned.groupby([*GROUP, *CONDITION], sort=False, dropna=False).ngroup(),
    )


def mean_curves(compared: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """group, condition, pretraining, step; mean, low and high of SCORE over the finished replicates.

    compared: of `comparable`. Steps at which not all of them were validated are left out.
    """
    finished: Any = compared[compared["status"].isin(USABLE)]
    axes = ["group", "condition", "pretraining"]
    lines: Any = finished[["run_id", *axes]].merge(curves[["run_id", "step", SCORE]], on="run_id")
    points = lines.groupby([*axes, "step"])[SCORE].agg(mean="mean", low="min", high="max", runs="size")
    points = points.reset_index()
    replicates = finished["condition"].value_counts()
    return points[points["runs"] == points["condition"].map(replicates)].drop(columns="runs")


def fixed_scores(points: pd.DataFrame) -> dict[int, float]:
    """Best mean, by group, that runs without pre-training reach at any step. points: of `mean_curves`."""
    without: Any = points[points["pretraining"] == "none"]
    return without.groupby("group")["mean"].max().to_dict()


def steps_to_score(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row per pre-training condition of each group of runs (GROUP) in which there are several.

    fixed_score: the best SCORE that the group's runs without pre-training reach, on the mean over replicates.
    first_step: the first step at which the condition's mean reaches it. reached: "yes", or why there is no
    first_step: "never", "no finished run" of the condition, "no fixed score" since none without pre-training
    has finished. best_score, best_step: the condition's own. Failed and missing runs are counted (n_failed)
    and left out of the means.
    """
    compared: Any = comparable(runs)
    points: Any = mean_curves(compared, curves)
    fixed = fixed_scores(points)
    reaching = points[points["mean"] >= points["group"].map(fixed)]
    best = points.sort_values(["mean", "step"], ascending=[False, True]).drop_duplicates("condition")
    best = best.set_index("condition")
    usable = compared["status"].isin(USABLE).groupby(compared["condition"])
    table = compared.drop_duplicates("condition").sort_values(["group", "condition"])
    condition = table["condition"]
    table = table.assign(
        n_runs=condition.map(usable.sum()),
        n_failed=condition.map(usable.size() - usable.sum()),
        fixed_score=table["group"].map(fixed),
        first_step=condition.map(reaching.groupby("condition")["step"].min()),
        best_score=condition.map(best["mean"]),
        best_step=condition.map(best["step"]),
    )
    table["reached"] = [_reached(row) for row in table.to_dict("records")]
    return table[[*SHOWN, *MEASURED]].astype(MEASURED).reset_index(drop=True)


def _reached(row: Mapping[str, Any]) -> str:
    if pd.isna(row["best_score"]):
        return "no finished run"
    if pd.isna(row["fixed_score"]):
        return "no fixed score"
    return "never" if pd.isna(row["first_step"]) else "yes"
