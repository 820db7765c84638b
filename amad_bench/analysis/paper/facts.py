"""Facts that the paper states of a results folder: numbers, names and tables."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from amad_bench.analysis.collect import SKIPPED
from amad_bench.analysis.measured_by import dataset_of
from amad_bench.analysis.printed.every import PRINTERS
from amad_bench.analysis.printed.protocol import protocol_table
from amad_bench.analysis.printed.table import PrintedTable
from amad_bench.analysis.run_summary import commits, distinct, replicates
from amad_bench.analysis.settings import TASK_LABELS
from amad_bench.data.formats.overlap import NO_OVERLAP
from amad_bench.plan import catalogue
from amad_bench.runtime.results import TableName

CHOICES = "open_choices.csv"  # beside the template
IN_TABLES = (
    TableName.CLAIMS,
    TableName.BLOCKS,
    TableName.RESULTS,
    TableName.COMPARISONS,
    TableName.STEPS_TO_SCORE,
    TableName.FAILURES,
)
READ = (TableName.RUNS, *IN_TABLES)
MOST_CONTRASTS = 40  # of losses; more are no reading matter
HEADLINE = "blocks"
MOST_PAGES = 2  # of a figure in the appendix
IN_TEXT = (HEADLINE, "head_gap", "learning_curves")  # figures that the text speaks of


def facts_of(
    tables: Mapping[TableName, pd.DataFrame],
    plan: Mapping[str, Any],
    figures: Mapping[str, Any],
    choices: Path,
) -> dict[str, Any]:
    """The JSON object that paper/format.typ reads.

    tables: those of READ. plan: what `collect` wrote. figures: the manifest that `figures` wrote.
    """
    runs, failures, comparisons = (
        tables[name] for name in (TableName.RUNS, TableName.FAILURES, TableName.COMPARISONS)
    )
    students = pd.DataFrame(runs[runs["kind"] == "student"])
    blocks = tables[TableName.BLOCKS]
    more = {name: one for name, one in figures.items() if name not in IN_TEXT and not one["nothing"]}
    across: Any = blocks[blocks["over"] == "all"]
    many = len(across) > MOST_CONTRASTS
    tested: Any = across[across["statement"] != "not testable"] if many else across
    read = {**tables, TableName.BLOCKS: tested}
    printed = {name.value: PRINTERS[name](read[name]) for name in IN_TABLES}
    unprinted = len(comparisons) if len(comparisons) > MOST_CONTRASTS else 0
    printed |= {"protocol": [protocol_table(runs)]} | ({TableName.COMPARISONS.value: []} if unprinted else {})
    return {
        "config": plan["name"],
        "plan": plan["hash"],
        "tables": {name: [table.canonical() for table in found] for name, found in printed.items()},
        "unprinted": unprinted,
        "untestable": len(across) - len(tested),
        "choices": _choices(choices).canonical(),
        "figures": figures,
        "headline": HEADLINE,
        "appendix": [name for name, one in more.items() if _fits(one)],
        "left_out": [name for name, one in more.items() if not _fits(one)],
        "losses": list(dict.fromkeys(students["loss"])),
        "students": len(students),
        "teachers": len(runs[runs["kind"] == "teacher"]),
        "pretrainings": len(runs[runs["kind"] == "pretrain"]),
        "replicates": replicates(runs),
        "teacher_per": _teacher_per(runs),
        "planned": len(runs),
        "failed": len(runs[runs["status"] != "done"]),
        "skipped": len(failures[failures["status"] == SKIPPED]),
        "overlaps": _overlaps(runs),
        "signatures": _signatures(runs),
        "commits": [{"commit": commit, "dirty": dirty} for commit, dirty in commits(runs)],
        "machines": distinct(runs, "cpu"),
        "torch": distinct(runs, "torch"),
    }


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
            labels = {"dataset": catalogue.label_of(dataset), "task": TASK_LABELS[task]}
            found[dataset, task, splits, count] = labels | {"splits": splits, "images": f"{int(count):,}"}
    return [found[key] for key in sorted(found)]


def _choices(path: Path) -> PrintedTable:
    """Choices that published texts leave open, and deviations from them; also in docs/methods.md."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row["where"], row["published"], row["here"]) for row in csv.DictReader(file)]
    return PrintedTable(
        "Open choices and deviations", ("Where", "Published", "Here"), (False,) * 3, tuple(rows)
    )


def _teacher_per(runs: pd.DataFrame) -> str:
    """ "replicate", "block" or "sweep": what has teachers of its own."""
    teachers: Any = runs[runs["kind"] == "teacher"]
    if teachers["replicate"].nunique() > 1:
        return "replicate"
    return "block" if teachers["block"].notna().any() else "sweep"


def _fits(figure: Mapping[str, Any]) -> bool:
    return len(figure["svgs"]) <= MOST_PAGES
