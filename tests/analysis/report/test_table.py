"""Tables of the report as data: columns where rows differ, values that sort as what they are."""

import pandas as pd
import pytest

from amad_bench.analysis.report.axes import axes_of
from amad_bench.analysis.report.columns import Column
from amad_bench.analysis.report.run_tables import published
from amad_bench.analysis.report.table import report_table
from amad_bench.runtime.results import TableName
from tests.analysis.report.conftest import AXES, NAN, frame, tables


def test_axes_on_which_rows_are_alike_are_said_once():
    differ, alike = axes_of(frame(AXES, AXES | {"student_heads": 4, "student": "wide"}))
    assert differ == {"Heads": ["8 → 2", "8 → 4"], "Student": ["2x48", "wide 2x48"]}
    assert alike["Models"] == "VL-T5"
    assert alike["Pre-training"] == "none → none"
    assert alike["Budget"] == "equal steps"
    assert alike["Images as"] == "raw patches"


def test_a_metric_that_each_task_has_is_not_a_column():
    rows = [("vqa", "vqa_accuracy"), ("captioning", "CIDEr")]
    own = frame(*(AXES | {"task": task, "metric": metric} for task, metric in rows))
    assert set(axes_of(own)[0]) == {"Task"}
    several = frame(
        *(AXES | {"task": task, "metric": metric} for task, metric in [*rows, ("captioning", "Bleu_4")])
    )
    assert axes_of(several)[0] == {
        "Task": ["VQA", "Captioning", "Captioning"],
        "Metric": ["VQA accuracy", "CIDEr", "BLEU-4"],
    }


def test_rows_keep_their_order_and_missing_axes_their_place():
    rows = [AXES | {"dataset": name} for name in ("scenes", "daquar", "scenes")]
    assert axes_of(frame(*rows))[0] == {"Data": ["Scenes", "DAQUAR", "Scenes"]}
    assert axes_of(frame({"claim": "C1"})) == ({}, {})
    assert axes_of(frame(AXES).head(0)) == ({}, {})


def test_pretraining_runs_have_a_task_of_their_own():
    assert axes_of(frame(AXES, AXES | {"task": "pretraining"}))[0] == {"Task": ["VQA", "Pre-training"]}


def test_published_scores_stand_beside_those_of_teachers_here():
    shown = published(tables()[TableName.PUBLISHED])
    labels = [column["label"] for column in shown.columns]
    row = dict(zip(labels, shown.rows[0], strict=True))
    assert row["Here [95 %]"] == [61.5, 60.0, 63.0]
    assert (row["Heads here"], row["Pre-training"], row["Pre-training here"]) == (8.0, "180K", "vl")
    assert shown.alike == {"Models": "VL-T5", "Data": "VQA v2", "Metric": "VQA accuracy"}


def test_rows_that_lack_an_axis_have_nothing_there():
    apart = AXES | dict.fromkeys(("family", "task", "teacher_heads", "student_heads"), None)
    several = apart | {"metric": "vqa_accuracy | CIDEr"}
    own = frame(AXES | {"metric": "vqa_accuracy"}, several, apart | {"metric": "CIDEr"})
    differ, _ = axes_of(own)
    assert differ == {
        "Models": ["VL-T5", "", ""],
        "Task": ["VQA", "", ""],
        "Metric": ["VQA accuracy", "VQA accuracy, CIDEr", "CIDEr"],
        "Heads": ["8 → 2", "", ""],
    }


def test_numbers_texts_and_intervals_are_json_values():
    values = pd.DataFrame(
        {"n": pd.array([3, None], "Int64"), "low": [1.23456789, NAN], "text": ["a", None], "high": [2.0, NAN]}
    )
    assert Column("n", "n", "number").values(values) == [3.0, None]
    assert Column("ci", ("n", "low", "high"), "interval").values(values) == [[3.0, 1.23457, 2.0], [None] * 3]
    assert Column("text", "text").values(values) == ["a", ""]
    assert Column("both", of=lambda rows: rows["text"] + "!").values(values) == ["a!", ""]


def test_a_column_in_which_nothing_stands_is_left_out():
    columns = [Column("Kept", "a"), Column("Empty", "b"), Column("None", ("c", "c", "c"), "interval")]
    rows = frame(
        {"a": "x", "b": "", "c": NAN, "warning": "few"}, {"a": "", "b": "", "c": NAN, "warning": "few"}
    )
    table = report_table("name", "Title", "Says.", rows, columns)
    assert [column["label"] for column in table.columns] == ["Kept"]
    assert table.rows == [["x"], [""]]
    assert table.warnings == ["few"]


def test_a_missing_column_is_a_bug_that_is_heard_of():
    with pytest.raises(KeyError, match="shown_80"):
        report_table("name", "Title", "", frame({"a": 1}), [Column("Shown", "shown_80", "number")])
