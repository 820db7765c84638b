"""Settings: planned students that differ in loss and replicate only, with their teachers.

Block: family x task x data set x head pair. Setting: block x pre-training pair x budget, in which losses are
compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from amad_bench.analysis.measured_by import dataset_of
from amad_bench.plan.catalogue import TASKS, Dataset, primary_metric
from amad_bench.plan.run import SHARED
from amad_bench.plan.run_config import head_pair
from amad_bench.runtime.errors import UserError

TASK = ["family", "task", "dataset", "limit"]
# Of what runs of all kinds are trained for.
TASK_LABELS = {"pretraining": "Pre-training"} | {name: task.label for name, task in TASKS.items()}
TRAINED_ON = [*TASK, "examples", "inputs", "precision"]
# With the columns that say more about its data, its heads and its student.
BLOCK = [*TRAINED_ON, "teacher_heads", "student_heads", "student", "student_shape", "heads_keep"]
SETTING = [*BLOCK, "teacher_pretraining", "pretraining", "cut", "budget"]
_OF_STUDENT = (
    "examples",
    "student_heads",
    "student",
    "student_shape",
    "teacher_pretraining",
    "cut",
    "budget",
)
_OF_TEACHER = [axis for axis in SETTING if axis not in _OF_STUDENT]
_SHARED = [axis for axis in (*_OF_TEACHER, "block") if axis != "pretraining"]  # of a teacher and its students
DATA = ["features", "image_overlap"]  # what the models saw of an image, and which splits share images
UNKNOWN = "unknown"  # stands there as long as no run has read its data
CE = "ce"  # training on the labels alone, without a teacher
AMAD = "amad"
TEACHER = "teacher"  # stands in the column `loss` for the teacher's rows


@dataclass(frozen=True)
class Setting:
    """A setting and its runs.

    axes: the value of each column of SETTING. students, teachers: rows of the table `runs`, in plan order;
    those of students that several settings share with this one's teacher_pretraining and budget.
    """

    axes: dict[str, Any]
    students: pd.DataFrame
    teachers: pd.DataFrame

    @property
    def primary_metric(self) -> str:
        return primary_metric(self.axes["task"], self.dataset)

    @property
    def dataset(self) -> Dataset:
        """Its record."""
        return dataset_of(self.axes["dataset"], self.students["dataset_options"].iloc[0])

    @property
    def data(self) -> dict[str, str]:
        """The columns DATA as all runs of the setting have them; where they differ, joined by " | "."""
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
    """Phrase for what the models saw of an image: as it was made or, before any run, as the config has it."""
    return row["inputs"] if row["features"] == UNKNOWN else row["features"]


def grouped(frame: pd.DataFrame, columns: list[str]) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """(values of the columns, rows) for each combination that occurs, in the order of occurrence."""
    groups: Any = frame.groupby(columns, sort=False, dropna=False)
    return [(dict(zip(columns, values, strict=True)), rows) for values, rows in groups]


def settings(runs: pd.DataFrame) -> list[Setting]:
    """The settings of all planned students, in plan order; UserError where two runs would be one row."""
    kinds = {values["kind"]: rows for values, rows in grouped(runs, ["kind"])}
    nothing = runs.head(0)
    teachers = kinds.get("teacher", nothing)
    students = _with_each_teacher(_with_each_budget(_compared(kinds.get("student", nothing))), teachers)
    of_block = grouped(teachers, [*_SHARED, "pretraining"])
    found = []
    for axes, own in grouped(students, SETTING):
        wanted = axes | {"pretraining": axes["teacher_pretraining"], "block": own["block"].iloc[0]}
        theirs = [rows for values, rows in of_block if all(_same(values[key], wanted[key]) for key in values)]
        found.append(Setting(axes, own, theirs[0] if theirs else nothing))
        _refuse_twins(found[-1].students)
        _refuse_twins(found[-1].teachers)
    return found


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) if pd.notna(a) and pd.notna(b) else pd.isna(a) and pd.isna(b)


def _compared(students: pd.DataFrame) -> pd.DataFrame:
    """All but the assistants that a block of other heads has for itself: nobody is compared with them."""
    heads = students[["teacher_heads", "student_heads", "student"]].itertuples(index=False)
    own = [head_pair(*of_student) for of_student in heads]
    found: Any = students[students["block"].isna() | (students["block"] == pd.Series(own, students.index))]
    return found


def _with_each_budget(students: pd.DataFrame) -> pd.DataFrame:
    """The students; those that several budgets share once for each of them."""
    split = students.assign(budget=students["budget"].str.split(SHARED, regex=False))
    return split.explode("budget", ignore_index=True)


def _with_each_teacher(students: pd.DataFrame, teachers: pd.DataFrame) -> pd.DataFrame:
    """The students; those without a teacher once for each pre-training condition of their block's teachers.

    In the order of a plan in which no settings share a student.
    """
    columns, known = [*students.columns], [*_SHARED, "teacher_pretraining"]
    placed = students.assign(place=range(len(students)))
    alone = placed["teacher_pretraining"].isna()
    taught: Any = placed[~alone]
    untaught: Any = placed[alone].drop(columns="teacher_pretraining")
    theirs: Any = teachers.assign(teacher_pretraining=teachers["pretraining"])
    conditions = pd.concat([theirs[known], taught[known]]).drop_duplicates(ignore_index=True)
    conditions = conditions.assign(condition=range(len(conditions)))
    found: Any = pd.concat(
        [taught.merge(conditions, "left", known), untaught.merge(conditions, "left", _SHARED)],
        ignore_index=True,
    )
    of_loss = [axis for axis in SETTING if axis != "teacher_pretraining"] + ["loss"]
    first = found.groupby(of_loss, sort=False, dropna=False)["place"].transform("min")
    return found.assign(first=first).sort_values(["condition", "first", "place"])[columns]


def _refuse_twins(runs: pd.DataFrame) -> None:
    seen: dict[tuple[str, int], str] = {}
    for run_id, loss, replicate in zip(runs["run_id"], runs["loss"], runs["replicate"], strict=True):
        if (other := seen.setdefault((loss, replicate), run_id)) != run_id:
            raise UserError(
                f"runs {other} and {run_id} differ in nothing that the tables show ({', '.join(SETTING)}, "
                "loss, replicate); give the losses different labels or put the tasks into different configs"
            )
