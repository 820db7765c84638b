"""A cell of the benchmark: students that differ in loss and replicate only, their teachers, their scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from amad_bench.analysis.anova import Floats, Statistic
from amad_bench.plan import catalogue
from amad_bench.runtime.errors import UserError
from amad_bench.scoring.corpus import corpus_score

CELL = [
    "family",
    "task",
    "dataset",
    "limit",
    "examples",
    "inputs",
    "teacher_heads",
    "student_heads",
    "student",
    "student_shape",
    "fix",
    "teacher_pretraining",
    "pretraining",
    "init",
]
_OF_STUDENT = ("examples", "student_heads", "student", "student_shape", "teacher_pretraining", "init")
_OF_TEACHER = [axis for axis in CELL if axis not in _OF_STUDENT]
DATA = ["features", "image_overlap"]  # what the models saw of an image, and which splits share images
EXTRA_METRICS_TASK = "captioning"  # whose runs have METEOR and SPICE when these are asked for
UNKNOWN = "unknown"  # stands there as long as no run has read its data
CE = "ce"  # training on the labels alone, without a teacher
TEACHER = "teacher"  # stands in the column `loss` for the teacher's rows


@dataclass(frozen=True)
class Cell:
    """axes: the value of each column of CELL. students, teachers: rows of the table `runs`, in plan order."""

    axes: dict[str, Any]
    students: pd.DataFrame
    teachers: pd.DataFrame

    @property
    def primary_metric(self) -> str:
        return catalogue.primary_metric(self.axes["task"], self.axes["dataset"])

    @property
    def data(self) -> dict[str, str]:
        """The columns DATA as all runs of the cell have them; where they differ, joined by " | "."""
        return {column: _joined(*self.teachers[column], *self.students[column]) for column in DATA}

    @property
    def run_ids(self) -> list[str]:
        return [*self.teachers["run_id"], *self.students["run_id"]]

    def by_loss(self) -> dict[str, pd.DataFrame]:
        """Rows of `runs` by loss label, the teacher first."""
        losses = {values["loss"]: rows for values, rows in grouped(self.students, ["loss"])}
        return {TEACHER: self.teachers, **losses}


def _joined(*values: Any) -> str:
    return " | ".join(dict.fromkeys(value for value in values if isinstance(value, str))) or UNKNOWN


def seen_images(row: Mapping[str, Any]) -> str:
    """What the models saw of an image: as they were made or, before any run, as the config has it."""
    return row["inputs"] if row["features"] == UNKNOWN else row["features"]


def grouped(frame: pd.DataFrame, columns: list[str]) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """(values of the columns, rows) for each combination that occurs, in the order of occurrence."""
    groups: Any = frame.groupby(columns, sort=False, dropna=False)
    return [(dict(zip(columns, values, strict=True)), rows) for values, rows in groups]


def cells(runs: pd.DataFrame) -> list[Cell]:
    """The cells of all planned students, in plan order; UserError where two runs would be one row."""
    kinds = {values["kind"]: rows for values, rows in grouped(runs, ["kind"])}
    nothing = runs.head(0)
    teachers = grouped(kinds.get("teacher", nothing), _OF_TEACHER)
    found = []
    for axes, students in grouped(kinds.get("student", nothing), CELL):
        own = axes | {"pretraining": axes["teacher_pretraining"]}
        theirs = [rows for values, rows in teachers if all(values[axis] == own[axis] for axis in _OF_TEACHER)]
        found.append(Cell(axes, students, theirs[0] if theirs else nothing))
        _refuse_twins(found[-1].students)
        _refuse_twins(found[-1].teachers)
    return found


def _refuse_twins(runs: pd.DataFrame) -> None:
    seen: dict[tuple[str, int], str] = {}
    for run_id, loss, replicate in zip(runs["run_id"], runs["loss"], runs["replicate"], strict=True):
        if (other := seen.setdefault((loss, replicate), run_id)) != run_id:
            raise UserError(
                f"runs {other} and {run_id} differ in nothing that the tables show ({', '.join(CELL)}, loss, "
                "replicate); give the losses different labels or put the cells into different configs"
            )


@dataclass(frozen=True)
class ScoreMatrix:
    """Per-example scores of several runs on one metric: (S, N) points, or (S, N, K) statistics.

    statistic: None, or the map from (..., K) sums to points. examples, clusters: (N,).
    """

    values: Floats
    examples: pd.Index
    clusters: NDArray
    statistic: Statistic | None

    def scores_S(self) -> Floats:
        """The score of each run over all its examples, in points."""
        return self.values.mean(axis=1) if self.statistic is None else self.statistic(self.values.sum(axis=1))

    def part(self, examples: pd.Index) -> "ScoreMatrix":
        """The scores on those of the examples that are here."""
        kept_N = self.examples.isin(examples)
        return replace(
            self,
            values=self.values[:, kept_N],
            examples=self.examples[kept_N],
            clusters=self.clusters[kept_N],
        )


class ScoreBook:
    """The table `scores`, opened at (run, split, metric)."""

    def __init__(self, scores: pd.DataFrame) -> None:
        ordered = scores.sort_values(["run_id", "split", "metric", "example_id"], kind="stable")
        pages: Any = ordered.groupby(["run_id", "split", "metric"], sort=False)
        self._pages: dict[tuple[str, str, str], pd.DataFrame] = dict(tuple(pages))

    def having(self, run_ids: Sequence[str], metric: str, split: str = "test") -> list[str]:
        """Those of the runs that have such scores."""
        return [run_id for run_id in run_ids if (run_id, split, metric) in self._pages]

    def matrix(self, run_ids: Sequence[str], metric: str, split: str = "test") -> ScoreMatrix:
        """Scores of runs that all have them, on the same examples; UserError where the examples differ."""
        pages = [self._pages[run_id, split, metric] for run_id in run_ids]
        for run_id, page in zip(run_ids, pages, strict=True):
            for column in ("example_id", "cluster_id"):
                if not np.array_equal(page[column].to_numpy(), pages[0][column].to_numpy()):
                    raise UserError(
                        f"{metric} of run {run_id}: its {column}s on the split {split} are not those of run "
                        f"{run_ids[0]}; delete the folder of the run that is wrong and run again"
                    )
        record = catalogue.METRICS[metric]
        examples, clusters = pd.Index(pages[0]["example_id"]), pages[0]["cluster_id"].to_numpy(dtype=str)
        if not record.corpus:
            values = np.stack([page["value"].to_numpy(dtype=np.float64) for page in pages])
            return ScoreMatrix(values * record.scale, examples, clusters, None)
        statistics = np.stack([np.array(page["statistics"].tolist(), dtype=np.float64) for page in pages])
        return ScoreMatrix(statistics, examples, clusters, partial(_corpus_points, metric))


def _corpus_points(metric: str, sums: Floats) -> Floats:
    return np.asarray(corpus_score(metric, sums), dtype=np.float64) * catalogue.METRICS[metric].scale
