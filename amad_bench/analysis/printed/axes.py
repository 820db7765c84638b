"""Axes of settings in words: what rows share is said once, what differs stands in each row."""

from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd

from amad_bench.analysis.run_columns import UNCUT
from amad_bench.analysis.settings import UNKNOWN, grouped
from amad_bench.data.formats.overlap import NO_OVERLAP
from amad_bench.plan import catalogue
from amad_bench.plan.run_config import head_pair


def by_data(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """(name of family, task and data set, rows) for each that occurs, in the order of occurrence."""
    return [(data_name(values), rows) for values, rows in grouped(frame, ["family", "task", "dataset"])]


def data_name(row: Any) -> str:
    """ "VL-T5, VQA, scenes"; row: has the columns family, task, dataset."""
    families, tasks = catalogue.FAMILIES, catalogue.TASKS
    return (
        f"{families[row['family']].label}, {tasks[row['task']].label}, {catalogue.label_of(row['dataset'])}"
    )


def phrases(row: Any) -> dict[str, str]:
    """Phrases that tell a setting from another, by topic; "" where it is the usual."""
    pretraining = (row["teacher_pretraining"], row["pretraining"])
    seen = row["inputs"] if row.get("features", UNKNOWN) == UNKNOWN else row["features"]
    return {
        "family": catalogue.FAMILIES[row["family"]].label,
        "task": catalogue.TASKS[row["task"]].label,
        "dataset": catalogue.label_of(row["dataset"]),
        "metric": catalogue.METRICS[row["metric"]].label,
        "heads": heads_of(row["teacher_heads"], row["student_heads"], row["student"]),
        "pretraining": "" if pretraining == ("none", "none") else f"pre-training {' → '.join(pretraining)}",
        "budget": "" if row.get("budget", "steps") == "steps" else "equal FLOPs",
        "cut": "" if row["cut"] in UNCUT else f"cut: {row['cut']}",
        "student": f"students {row['student_shape'].replace('x', ' × ', 1)}",
        "examples": f"{counted(row['examples'])} training examples",
        "limit": row["limit"],
        "inputs": seen,
        "precision": row["precision"],
        "overlap": ""
        if row.get("image_overlap") in (None, NO_OVERLAP, UNKNOWN)
        else f"images in two splits: {row['image_overlap']}",
    }


def heads_of(teacher: Any, student: Any, size: Any) -> str:
    """ "8 → 2 heads", with the name of the student's size where it has one."""
    pair = head_pair(teacher, student, "").replace("->", "→")
    return f"{pair} heads" + (f" ({size})" if size else "")


def counted(examples: str) -> str:
    """ "6000" as "6,000"; "all" as it is."""
    return f"{int(examples):,}" if examples.isdigit() else examples


def shared_and_own(rows: pd.DataFrame, named: Collection[str] = ()) -> tuple[list[str], list[list[str]]]:
    """(phrases that all rows share, of each row those that differ); topics in one order.

    named: topics that the reader knows already.
    """
    found = [
        {topic: text for topic, text in phrases(row).items() if topic not in named}
        for row in rows.to_dict("records")
    ]
    differ = [topic for topic in found[0] if len({of[topic] for of in found}) > 1]
    shared = [text for topic, text in found[0].items() if topic not in differ and text]
    return shared, [[of[topic] for topic in differ if of[topic]] for of in found]


def sentence(parts: Sequence[str]) -> str:
    """The phrases as one sentence, "" without any."""
    text = "; ".join(part for part in parts if part)
    return f"{text[0].upper()}{text[1:]}." if text else ""
