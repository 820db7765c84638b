"""The command `amad-bench`; every rule of the Snakefile is one of its sub-commands."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.paths import DEFAULT_CONFIG, figures_dir, results_dir, run_dir, runs_dir, tables_dir

if TYPE_CHECKING:
    import pandas as pd

    from amad_bench.plan.grid import Plan
    from amad_bench.plan.run import Run


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 2 the user's mistake (a line each on stderr), 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
        sys.stdout.flush()
    except UserError as error:
        for message in error.messages:
            print(f"amad-bench: error: {message}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader (head, less) has gone; nothing is left to say, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("amad-bench: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="amad-bench", description="A benchmark of distillation across head counts."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, command: Callable[[argparse.Namespace], None], summary: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=summary)
        sub.add_argument(
            "--config", type=Path, default=DEFAULT_CONFIG, help="config file (default: %(default)s)"
        )
        sub.set_defaults(command=command)
        return sub

    add("plan", plan, "show which runs a config asks for").add_argument(
        "--json", action="store_true", help="all runs with their configs, and what is skipped"
    )
    which = add(
        "data", data, "generate, read and prepare the data of a config"
    ).add_mutually_exclusive_group()
    which.add_argument("--run", metavar="ID", help="only what this run reads")
    which.add_argument("--key", help="only this prepared form (as named by the Snakefile)")
    for name, command, summary in (
        ("run", run, "train one run, decode and score it"),
        ("score", score, "decode and score a trained run again from its stored weights"),
    ):
        sub = add(name, command, summary)
        sub.add_argument(
            "--run", metavar="ID", required=True, help="id of the run, see `amad-bench plan --json`"
        )
        sub.add_argument("--device", choices=("auto", "cpu", "cuda"), help="instead of the config's `device`")
    add("collect", collect, "gather all runs into results/tables/{runs,scores,failures}")
    add("compare", compare, "make results/tables/{results,headroom,comparisons} from the collected tables")
    add("figures", figures, "draw results/figures from the tables")
    add("paper", paper, "compile paper/main.pdf from tables and figures")
    add("status", status, "show how many runs are done and how much is left")
    add("clean", clean, "list run folders that are not in the plan, and remove them with --yes").add_argument(
        "--yes", action="store_true", help="remove them"
    )
    return parser


def _plan(options: argparse.Namespace) -> "Plan":
    from amad_bench.plan.grid import expand
    from amad_bench.plan.schema import load_config

    return expand(load_config(options.config))


def plan(options: argparse.Namespace) -> None:
    from amad_bench.plan.overview import overview

    planned = _plan(options)
    if options.json:
        print(json.dumps(planned.as_dict(), ensure_ascii=False))
    else:
        print(f"{options.config}: {overview(planned)}")


def data(options: argparse.Namespace) -> None:
    from amad_bench.data.prepare import prepare
    from amad_bench.runtime.files import write_json_atomic
    from amad_bench.runtime.paths import prepared_marker

    planned = _plan(options)
    by_key = {run.data_key: run for run in planned.runs}
    if options.run:
        keys = [planned.run(options.run).data_key]
    elif options.key and options.key not in by_key:
        raise UserError(f"--key {options.key}: not in this plan; its keys: {', '.join(by_key)}")
    else:
        keys = [options.key] if options.key else list(by_key)
    for key in keys:
        folder = prepare(by_key[key].config)
        if not prepared_marker(key).exists():  # a newer one would make Snakemake redo what depends on it
            write_json_atomic(prepared_marker(key), {"prepared": str(folder)})
        print(f"{key}: {folder}")


def run(options: argparse.Namespace) -> None:
    planned, device = _run_and_device(options)
    from amad_bench.training.run import train_run

    print(f"{planned.id}: {train_run(planned, device)}")


def score(options: argparse.Namespace) -> None:
    planned, device = _run_and_device(options)
    from amad_bench.training.run import score_run

    print(f"{planned.id}: {score_run(planned, device)}")


def _run_and_device(options: argparse.Namespace) -> "tuple[Run, str]":
    from amad_bench.plan.grid import expand
    from amad_bench.plan.schema import load_config

    config = load_config(options.config)
    return expand(config).run(options.run), options.device or config.device


def collect(options: argparse.Namespace) -> None:
    from amad_bench.analysis.collect import collect as collect_runs
    from amad_bench.runtime.files import write_json_atomic, write_table

    planned = _plan(options)
    tables = collect_runs(planned, results_dir())
    _forget_older_tables()
    for name in ("runs", "scores", "failures"):
        write_table(getattr(tables, name), tables_dir() / name)
    stamp = {"name": planned.name, "hash": planned.hash}
    write_json_atomic(_collected_plan(), stamp | planned.as_dict())  # last: now the tables are this plan's
    failed = (tables.runs["status"] != "done").sum()
    print(
        f"{len(tables.runs)} runs, {failed} without result, {len(tables.scores)} scores; "
        f"{len(planned.skipped)} combinations skipped"
    )
    for failure in tables.failures.to_dict("records"):
        print(f"{failure['run_id']}: {failure['status']}: {failure['reason']}", file=sys.stderr)


def _collected_plan() -> Path:
    return results_dir() / "plan.json"


def _forget_older_tables() -> None:
    """What was made from the tables that are replaced must not pass for made from the new ones."""
    _collected_plan().unlink(missing_ok=True)
    for name in ("results", "headroom", "comparisons"):
        for suffix in ("parquet", "csv"):
            (tables_dir() / f"{name}.{suffix}").unlink(missing_ok=True)
    for name in ("losses", "head_gap"):
        for suffix in ("pdf", "png"):
            (figures_dir() / f"{name}.{suffix}").unlink(missing_ok=True)


def _refuse_other_tables(options: argparse.Namespace) -> None:
    """UserError unless the tables were collected for this plan."""
    from amad_bench.runtime.files import read_json

    path, what_to_do = _collected_plan(), f"run `amad-bench collect --config {options.config}` first"
    if not path.exists():
        raise UserError(f"{path}: no such file, nothing is collected yet; {what_to_do}")
    if read_json(path).get("hash") != _plan(options).hash:
        raise UserError(f"{path}: the tables were collected for another config (or version); {what_to_do}")


def compare(options: argparse.Namespace) -> None:
    from amad_bench.analysis.tables import comparisons_table, headroom_table, results_table
    from amad_bench.runtime.files import write_table

    _refuse_other_tables(options)
    runs, scores = _table("runs"), _table("scores")
    results = results_table(runs, scores)
    write_table(results, tables_dir() / "results")
    write_table(headroom_table(runs, scores), tables_dir() / "headroom")
    write_table(comparisons_table(runs, scores), tables_dir() / "comparisons")
    axes = ["family", "task", "dataset", "limit", "teacher_heads", "student_heads", "loss", "metric"]
    shown = results.loc[results["primary"], [*axes, "mean", "ci_low", "ci_high"]]
    print(shown.to_string(index=False, float_format=lambda value: f"{value:.1f}"))


def figures(options: argparse.Namespace) -> None:
    from amad_bench.analysis.figures import figures as draw

    _refuse_other_tables(options)
    for path in draw(_table("results"), figures_dir()):
        print(path)


def paper(options: argparse.Namespace) -> None:
    from amad_bench.analysis.paper import paper as compile_paper

    _refuse_other_tables(options)
    print(compile_paper(results_dir()))


def _table(name: str) -> "pd.DataFrame":
    import pandas as pd

    path = tables_dir() / f"{name}.parquet"
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        before = "collect" if name in ("runs", "scores") else "compare"
        raise UserError(f"{path}: no such table; run `amad-bench {before}` first") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no readable parquet file ({error}); delete it and collect again") from None


def status(options: argparse.Namespace) -> None:
    from amad_bench.plan.overview import progress_report

    print(progress_report(_plan(options)))


def clean(options: argparse.Namespace) -> None:
    planned = {run_dir(identifier) for identifier in _plan(options).by_id}
    folders = sorted(runs_dir().iterdir()) if runs_dir().is_dir() else []
    others = [folder for folder in folders if folder.is_dir() and folder not in planned]
    for folder in others:
        print(folder)
        if options.yes:
            shutil.rmtree(folder)
    done = "removed" if options.yes else "not in this plan; `--yes` removes them"
    print(f"{len(others)} of {len(folders)} run folders {done}", file=sys.stderr)
