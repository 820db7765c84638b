"""Commands about results: collect, compare, figures, report, paper."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from amad_bench.cli.common import planned
from amad_bench.cli.merge import merge
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.results import COLLECTED, COMPARED, PAPER, RESULTS, TableName

if TYPE_CHECKING:
    import pandas as pd

    from amad_bench.analysis.collected import Collected
    from amad_bench.plan.plan import Plan


def collect(options: argparse.Namespace) -> None:
    from amad_bench.analysis.collect import collect as collect_runs
    from amad_bench.plan.config.load import load_config
    from amad_bench.plan.grid import expand
    from amad_bench.plan.weights import drop_weights
    from amad_bench.runtime.files import write_json_atomic, write_table

    config = load_config(options.config)
    plan = expand(config)
    if options.sources:
        merge(config, plan, options.sources)
    tables = collect_runs(plan, RESULTS.path)
    _forget_older_tables()
    for name in COLLECTED:
        write_table(getattr(tables, name), RESULTS.tables / name)
    stamp = {"name": plan.name, "hash": plan.hash, "made_of": tables.made_of}
    write_json_atomic(RESULTS.plan, stamp | plan.as_dict())  # last: now the tables are this plan's
    drop_weights(config, plan, RESULTS)
    failed = (tables.runs["status"] != "done").sum()
    print(
        f"{len(tables.runs)} runs, {failed} without result, {len(tables.scores)} scores; "
        f"{len(plan.skipped)} combinations skipped"
    )
    for failure in tables.failures.to_dict("records"):
        run = f"{failure['run_id']}: " if failure["run_id"] else ""  # an extra metric belongs to no run
        print(f"{run}{failure['status']}: {failure['reason']}", file=sys.stderr)


def _forget_older_tables() -> None:
    """Remove what was made from the tables that are replaced: it must not pass for made from the new ones."""
    tables = (*RESULTS.table_files(*COMPARED), *RESULTS.printed_files())
    for path in (RESULTS.plan, *tables, *RESULTS.figure_files(), RESULTS.report):
        path.unlink(missing_ok=True)


def _refuse_other_tables(options: argparse.Namespace) -> "Plan":
    """UserError unless the tables were collected for the plan of `--config`, which is returned."""
    from amad_bench.runtime.files import read_json

    path, what_to_do = RESULTS.plan, f"run `amad-bench collect --config {options.config}` first"
    if not path.exists():
        raise UserError(f"{path}: no such file, nothing is collected yet; {what_to_do}")
    plan = planned(options)
    found = read_json(path)
    if not isinstance(found, dict) or found.get("hash") != plan.hash:
        raise UserError(f"{path}: the tables were collected for another config (or version); {what_to_do}")
    return plan


def read_collected(options: argparse.Namespace) -> "Collected":
    """The collected tables; UserError unless they are those of `--config`."""
    from amad_bench.analysis.collected import Collected

    plan = _refuse_other_tables(options)
    tables: dict[str, Any] = {name.value: _table(name) for name in COLLECTED}
    return Collected(plan, **tables)


def compare(options: argparse.Namespace) -> None:
    from amad_bench.analysis.compared import MAKERS
    from amad_bench.analysis.printed.every import print_tables
    from amad_bench.runtime.files import write_table

    collected = read_collected(options)
    made = {name: make(collected) for name, make in MAKERS.items()}
    for name, table in made.items():
        write_table(table, RESULTS.tables / name)
    print_tables(made | {TableName.FAILURES: collected.failures}, RESULTS.path)
    results = made[TableName.RESULTS]
    axes = ["family", "task", "dataset", "limit", "teacher_heads", "student_heads"]
    further = ["student", "student_shape", "teacher_pretraining", "pretraining", "cut"]
    axes += [axis for axis in further if len(set(results[axis])) > 1]  # else they are all alike, and wide
    shown = results.loc[results["primary"], [*axes, "loss", "metric", "mean", "ci_low", "ci_high"]]
    print(shown.to_string(index=False, float_format=lambda value: f"{value:.1f}"))
    for claim in made[TableName.CLAIMS].to_dict("records"):
        print(f"\n{claim['claim']}: {claim['text']}\n  {claim['sentence']}")


def power(options: argparse.Namespace) -> None:
    from amad_bench.analysis.power.text import power_text

    _refuse_other_tables(options)
    print(power_text(_table(TableName.POWER)))


def figures(options: argparse.Namespace) -> None:
    if options.run is not None:
        from amad_bench.analysis.figures.alignments import draw_run
        from amad_bench.plan.config.load import load_config
        from amad_bench.plan.grid import find_run

        run = find_run(load_config(options.config), options.run)
        for path in draw_run(RESULTS.run(run.id), RESULTS.figures):
            print(path)
        return
    from amad_bench.analysis.figures.registry import TABLES, draw_figures

    _refuse_other_tables(options)
    for path in draw_figures({name: _table(name) for name in TABLES}, RESULTS.path):
        print(path)


def report(options: argparse.Namespace) -> None:
    from amad_bench.analysis.report.report import report as write_report
    from amad_bench.plan.config.load import load_config

    plan = _refuse_other_tables(options)
    print(write_report(load_config(options.config), plan, RESULTS.path, RESULTS.report))


def paper(options: argparse.Namespace) -> None:
    from amad_bench.analysis.paper.compiled import paper as compile_paper

    _refuse_other_tables(options)
    print(compile_paper(RESULTS.path, options.template, PAPER))


def _table(name: TableName) -> "pd.DataFrame":
    from amad_bench.runtime.parquet import read_long, read_parquet

    path = RESULTS.table(name)
    if not path.exists():
        before = "collect" if name in COLLECTED else "compare"
        raise UserError(f"{path}: no such table; run `amad-bench {before}` first")
    read = read_long if name == TableName.SCORES else read_parquet
    return read(path, "delete it and collect again")
