"""The paper: `paper/main.typ` with the tables and figures of a results folder, compiled by typst."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import typst

from amad_bench.analysis.collect import SKIPPED
from amad_bench.analysis.comparisons import ALPHA
from amad_bench.analysis.figures.files import read_shown
from amad_bench.analysis.learning_curves import SHOWN_GROUP
from amad_bench.analysis.measured_by import dataset_of
from amad_bench.analysis.run_columns import UNCUT
from amad_bench.analysis.settings import SETTING, TEACHER, UNKNOWN
from amad_bench.data.formats.overlap import NO_OVERLAP
from amad_bench.plan import catalogue
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import write_bytes_atomic
from amad_bench.runtime.parquet import read_parquet
from amad_bench.runtime.results import FigureName, ResultsFolder, TableName

_READ_HERE = (TableName.RUNS, TableName.FAILURES)
_READ_BY_TYPST = (TableName.RESULTS, TableName.COMPARISONS, TableName.STEPS_TO_SCORE, TableName.FAILURES)
TASKS = {"pretraining": "Pre-training"} | {name: task.label for name, task in catalogue.TASKS.items()}


def paper(results: Path, source: Path, output: Path) -> Path:
    """Compile `source` into `output`; the same tables and figures give the same bytes.

    UserError when `source` is missing, or in `results` a table or figure. Uses the fonts of the typst wheel
    only.
    """
    if not source.is_file():
        raise UserError(f"{source}: no such file; give the repository's paper/main.typ with --template")
    made = ResultsFolder(results)
    tables = [made.table(name) for name in _READ_HERE]
    shown = read_shown(made.shown_figures)
    figures = [made.figure(FigureName(name)) for name in shown]
    for path in (*tables, *(made.table(name, "csv") for name in _READ_BY_TYPST), *figures):
        if not path.is_file():
            raise UserError(f"{path}: missing, the paper is made from it; run `amad-bench figures` first")
    root = Path(os.path.commonpath([source.resolve().parent, results.resolve()]))
    facts: dict[str, Any] = {"pages": {name: 0 if one.nothing else one.pages for name, one in shown.items()}}
    facts |= _facts(*(read_parquet(table, "run `amad-bench collect` again") for table in tables))
    pdf = typst.compile(
        source.resolve(),
        root=root,
        format="pdf",
        ignore_system_fonts=True,
        sys_inputs={
            "results": "/" + results.resolve().relative_to(root).as_posix(),
            "facts": json.dumps(facts, sort_keys=True),
        },
    )
    write_bytes_atomic(output, pdf)
    return output


def _facts(runs: pd.DataFrame, failures: pd.DataFrame) -> dict[str, Any]:
    """Numbers and names that the text says."""
    students = pd.DataFrame(runs[runs["kind"] == "student"])
    records = (("family", catalogue.FAMILIES), ("dataset", catalogue.DATASETS), ("metric", catalogue.METRICS))
    labels = {axis: {name: record.label for name, record in known.items()} for axis, known in records}
    return {
        "labels": labels | {"task": TASKS},
        "less_is_better": [name for name, metric in catalogue.METRICS.items() if not metric.higher_is_better],
        "level": f"{100 * (1 - ALPHA):g}",
        "teacher": TEACHER,
        "unknown": UNKNOWN,
        "setting": SETTING,
        "steps": SHOWN_GROUP,
        "uncut": UNCUT,
        "losses": list(dict.fromkeys(students["loss"])),
        "students": len(students),
        "teachers": len(runs[runs["kind"] == "teacher"]),
        "pretrainings": len(runs[runs["kind"] == "pretrain"]),
        "replicates": _replicates(runs),
        "planned": len(runs),
        "failed": len(runs[runs["status"] != "done"]),
        "skipped": len(failures[failures["status"] == SKIPPED]),
        "overlaps": _overlaps(runs),
        "signatures": _signatures(runs),
        "commits": _commits(runs),
        "machines": _distinct(runs, "cpu"),
        "torch": _distinct(runs, "torch"),
    }


def _replicates(runs: pd.DataFrame) -> list[int]:
    """The numbers of replicates, each once, in order: tasks may have their own."""
    students = runs[runs["kind"] == "student"]
    by_task = students.groupby(["family", "task", "dataset"])["replicate"].nunique()
    return sorted({int(number) for number in by_task})


def _signatures(runs: pd.DataFrame) -> list[str]:
    """Ways in which sacreBLEU computed the primary metrics, for example BLEU|nrefs:1|case:mixed|..."""
    scored = runs[runs["kind"] != "pretrain"]
    found = set()
    columns = (scored[name] for name in ("task", "dataset", "dataset_options", "signatures"))
    for task, dataset, options, signatures in zip(*columns, strict=True):
        metric = catalogue.primary_metric(task, dataset_of(dataset, options))
        if signature := json.loads(signatures).get(metric):
            found.add(f"{metric}|{signature}")
    return sorted(found)


def _overlaps(runs: pd.DataFrame) -> list[dict[str, str]]:
    """Each pair of splits that share images: {dataset, task, splits: "train/test", images: "1,409"}."""
    found = {}
    for task, dataset, overlap in zip(runs["task"], runs["dataset"], runs["image_overlap"], strict=True):
        pairs = overlap.split("; ") if isinstance(overlap, str) and overlap != NO_OVERLAP else []
        for splits, count in (pair.rsplit(" ", 1) for pair in pairs):
            labels = {"dataset": catalogue.label_of(dataset), "task": TASKS[task]}
            found[dataset, task, splits, count] = labels | {"splits": splits, "images": f"{int(count):,}"}
    return [found[key] for key in sorted(found)]


def _commits(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Each commit once, or twice when it was used with and without uncommitted changes."""
    made = runs.reindex(columns=["commit", "dirty"]).dropna(subset=["commit"])
    found = {(row["commit"], row["dirty"] is True) for row in made.to_dict("records")}
    return [{"commit": commit, "dirty": dirty} for commit, dirty in sorted(found)]


def _distinct(runs: pd.DataFrame, column: str) -> list[str]:
    return sorted({str(value) for value in runs[column].dropna()}) if column in runs else []
