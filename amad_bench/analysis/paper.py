"""The paper: `paper/main.typ` with the tables and figures of a results folder, compiled by typst."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import typst

from amad_bench.analysis.cells import TEACHER
from amad_bench.analysis.comparisons import ALPHA
from amad_bench.plan import catalogue
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import write_bytes_atomic

INPUTS = (
    "tables/runs.parquet",
    "tables/results.csv",
    "tables/comparisons.csv",
    "tables/failures.csv",
    "figures/losses.png",
    "figures/head_gap.png",
)


def paper(
    results: Path, source: Path = Path("paper/main.typ"), output: Path = Path("paper/main.pdf")
) -> Path:
    """Compile `source` into `output`; the same tables and figures give the same bytes.

    UserError when one of INPUTS is missing in `results`. Uses the fonts of the typst wheel only.
    """
    for path in (source, *(results / name for name in INPUTS)):
        if not path.is_file():
            raise UserError(f"{path}: missing, the paper is made from it; run `amad-bench figures` first")
    root = Path(os.path.commonpath([source.resolve().parent, results.resolve()]))
    facts = _facts(pd.read_parquet(results / "tables/runs.parquet"))
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


def _facts(runs: pd.DataFrame) -> dict[str, Any]:
    """What the text says in numbers and names."""
    students = runs[runs["kind"] == "student"]
    return {
        "labels": {
            axis: {name: record.label for name, record in records.items()}
            for axis, records in (
                ("family", catalogue.FAMILIES),
                ("task", catalogue.TASKS),
                ("dataset", catalogue.DATASETS),
                ("metric", catalogue.METRICS),
            )
        },
        "level": f"{100 * (1 - ALPHA):g}",
        "teacher": TEACHER,
        "losses": list(dict.fromkeys(students["loss"])),
        "students": len(students),
        "teachers": len(runs[runs["kind"] == "teacher"]),
        "replicates": len(set(students["replicate"])),
        "planned": len(runs),
        "failed": len(runs[runs["status"] != "done"]),
        "commits": _distinct(runs, "commit"),
        "machines": _distinct(runs, "cpu"),
        "torch": _distinct(runs, "torch"),
    }


def _distinct(runs: pd.DataFrame, column: str) -> list[str]:
    return sorted({str(value) for value in runs[column].dropna()}) if column in runs else []
