"""Compiling the paper: all that it says of results is handed to typst as one JSON value."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import matplotlib
import typst

from amad_bench.analysis.figures.files import read_shown
from amad_bench.analysis.paper.facts import CHOICES, READ, facts_of
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_json, write_bytes_atomic
from amad_bench.runtime.parquet import read_parquet
from amad_bench.runtime.results import ResultsFolder


def paper(results: Path, source: Path, output: Path) -> Path:
    """Compile `source` into `output`; the same tables and figures give the same bytes.

    UserError when `source` or the files beside it are missing, or in `results` a table or figure, and for
    what typst cannot compile. Uses the fonts of the typst and matplotlib wheels only.
    """
    for path in (source, source.with_name(CHOICES)):
        if not path.is_file():
            raise UserError(f"{path}: no such file; give the repository's paper/main.typ with --template")
    made = ResultsFolder(results)
    for path in (*(made.table(name) for name in READ), made.plan):
        if not path.is_file():
            raise UserError(f"{path}: missing, the paper is made from it; run `amad-bench figures` first")
    tables = {name: read_parquet(made.table(name), "run `amad-bench compare` again") for name in READ}
    drawn = {name: asdict(shown) for name, shown in read_shown(made.shown_figures).items()}
    facts = facts_of(tables, read_json(made.plan), drawn, source.with_name(CHOICES))
    root = Path(os.path.commonpath([source.resolve().parent, results.resolve()]))
    try:
        pdf = typst.compile(
            source.resolve(),
            root=root,
            format="pdf",
            ignore_system_fonts=True,
            font_paths=[Path(matplotlib.get_data_path(), "fonts", "ttf")],  # of the figures
            sys_inputs={
                "results": "/" + results.resolve().relative_to(root).as_posix(),
                "facts": json.dumps(facts, sort_keys=True),
            },
        )
    except RuntimeError as error:  # of typst: a figure that is gone or broken, a template of one's own
        what = " ".join(str(error).split())
        raise UserError(f"{source}: {what}; run `amad-bench figures` again, or correct it") from None
    write_bytes_atomic(output, pdf)
    return output
