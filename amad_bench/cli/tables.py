"""Commands about results: collect, compare, figures, paper."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from amad_bench.cli.common import planned
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.paths import figures_dir, results_dir, run_dir, tables_dir

if TYPE_CHECKING:
    import pandas as pd

    from amad_bench.plan.grid import Plan


def collect(options: argparse.Namespace) -> None:
    from amad_bench.analysis.collect import collect as collect_runs
    from amad_bench.runtime.files import write_json_atomic, write_table

    plan = planned(options)
    tables = collect_runs(plan, results_dir())
    _forget_older_tables()
    for name in ("runs", "scores", "examples", "failures"):
        write_table(getattr(tables, name), tables_dir() / name)
    write_table(tables.curves, tables_dir() / "learning_curves")
    stamp = {"name": plan.name, "hash": plan.hash}
    write_json_atomic(_collected_plan(), stamp | plan.as_dict())  # last: now the tables are this plan's
    failed = (tables.runs["status"] != "done").sum()
    print(
        f"{len(tables.runs)} runs, {failed} without result, {len(tables.scores)} scores; "
        f"{len(plan.skipped)} combinations skipped"
    )
    for failure in tables.failures.to_dict("records"):
        run = f"{failure['run_id']}: " if failure["run_id"] else ""  # an extra metric belongs to no run
        print(f"{run}{failure['status']}: {failure['reason']}", file=sys.stderr)


def _collected_plan() -> Path:
    return results_dir() / "plan.json"


def _forget_older_tables() -> None:
    """Remove what was made from the tables that are replaced: it must not pass for made from the new ones."""
    _collected_plan().unlink(missing_ok=True)
    for name in ("results", "headroom", "comparisons", "steps_to_score"):
        for suffix in ("parquet", "csv"):
            (tables_dir() / f"{name}.{suffix}").unlink(missing_ok=True)
    for name in ("losses", "head_gap", "learning_curves"):
        for suffix in ("pdf", "png"):
            (figures_dir() / f"{name}.{suffix}").unlink(missing_ok=True)


def _refuse_other_tables(options: argparse.Namespace) -> "Plan":
    """UserError unless the tables were collected for the plan of `--config`, which is returned."""
    from amad_bench.runtime.files import read_json

    path, what_to_do = _collected_plan(), f"run `amad-bench collect --config {options.config}` first"
    if not path.exists():
        raise UserError(f"{path}: no such file, nothing is collected yet; {what_to_do}")
    plan = planned(options)
    if read_json(path).get("hash") != plan.hash:
        raise UserError(f"{path}: the tables were collected for another config (or version); {what_to_do}")
    return plan


def compare(options: argparse.Namespace) -> None:
    from amad_bench.analysis.learning_curves import steps_to_score
    from amad_bench.analysis.results import results_table
    from amad_bench.analysis.tables import comparisons_table, headroom_table
    from amad_bench.runtime.files import write_table

    plan = _refuse_other_tables(options)
    runs, scores = _table("runs"), _table("scores")
    results = results_table(runs, scores, _table("examples"), plan.extra_metrics)
    write_table(results, tables_dir() / "results")
    write_table(headroom_table(runs, scores), tables_dir() / "headroom")
    write_table(comparisons_table(runs, scores), tables_dir() / "comparisons")
    write_table(steps_to_score(runs, _table("learning_curves")), tables_dir() / "steps_to_score")
    axes = ["family", "task", "dataset", "limit", "teacher_heads", "student_heads"]
    further = ["student", "student_shape", "teacher_pretraining", "pretraining", "cut"]
    axes += [axis for axis in further if len(set(results[axis])) > 1]  # else they are all alike, and wide
    shown = results.loc[results["primary"], [*axes, "loss", "metric", "mean", "ci_low", "ci_high"]]
    print(shown.to_string(index=False, float_format=lambda value: f"{value:.1f}"))


def figures(options: argparse.Namespace) -> None:
    if options.run:
        from amad_bench.analysis.alignments import draw_alignments

        run = planned(options).run(options.run)
        for path in draw_alignments(run_dir(run.id), figures_dir()):
            print(path)
        return
    from amad_bench.analysis.curves_figure import draw_learning_curves
    from amad_bench.analysis.figures import figures as draw

    _refuse_other_tables(options)
    paths = draw(_table("results"), figures_dir())
    paths += draw_learning_curves(_table("runs"), _table("learning_curves"), figures_dir())
    for path in paths:
        print(path)


def paper(options: argparse.Namespace) -> None:
    from amad_bench.analysis.paper import paper as compile_paper

    _refuse_other_tables(options)
    print(compile_paper(results_dir(), options.template, Path("paper/main.pdf")))


def _table(name: str) -> "pd.DataFrame":
    import pandas as pd

    path = tables_dir() / f"{name}.parquet"
    try:
        return pd.read_parquet(path, engine="pyarrow")
    except FileNotFoundError:
        before = "collect" if name in ("runs", "scores", "examples", "learning_curves") else "compare"
        raise UserError(f"{path}: no such table; run `amad-bench {before}` first") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no readable parquet file ({error}); delete it and collect again") from None
