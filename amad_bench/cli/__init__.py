"""The command `amad-bench`; every rule of the Snakefile is one of its sub-commands."""

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from amad_bench.cli.again import FAILURES, failures, retry
from amad_bench.cli.bench import ATTENTION, bench
from amad_bench.cli.clean import clean
from amad_bench.cli.data import data, doctor, plan
from amad_bench.cli.export import export, predict, predictions
from amad_bench.cli.runs import run, score, status
from amad_bench.cli.tables import collect, compare, figures, paper, power, report
from amad_bench.cli.verify import verify
from amad_bench.runtime import devices
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.interruption import Interrupted
from amad_bench.runtime.paths import DEFAULT_CONFIG, PAPER_CORE, TEMPLATE, shipped
from amad_bench.runtime.refusals import FULL, WHAT_TO_DO, refusal
from amad_bench.runtime.results import COLLECTED, COMPARED, PAPER, RESULTS
from amad_bench.runtime.versions import check_python, check_versions


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 a failure under --strict, 2 a mistake of the user or a refusal of the machine (one
    line), 130 interrupted, 143 by SIGTERM.
    """
    for stream in (sys.stdout, sys.stderr):  # a path or a caption may hold what their encoding lacks
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    options = parser.parse_args(arguments)
    if [] in vars(options).values():  # what argparse makes of `--run=--`
        parser.error("a value was expected where -- stands")
    try:
        check_python()
        check_versions()
        code = options.command(options)
        sys.stdout.flush()
    except UserError as error:
        return _refused(error.messages)
    except ImportError as error:
        if (package := _absent_package(error)) is None:
            raise
        return _refused([f'no Python package {package}; `pip install "amad-bench[pipeline]"` installs it'])
    except BrokenPipeError:  # the reader (head, less) has gone; nothing is left to say, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        code = refusal(error)
        if code is None or not (error.filename or code in FULL):
            raise
        place = (error.filename2 if code in FULL else None) or error.filename  # of a copy its target is full
        where = f"{place}: " if place else ""
        # a library may have put more lines into error.strerror
        return _refused([f"{where}{os.strerror(code)}; {WHAT_TO_DO[code]}, then start again"])
    except Interrupted as signal:
        print(f"amad-bench: interrupted ({signal}); the same command goes on", file=sys.stderr)
        return signal.exit_code
    except KeyboardInterrupt:
        print("amad-bench: interrupted", file=sys.stderr)
        return 130
    return code or 0


def _refused(messages: Sequence[str]) -> int:
    try:
        for message in messages:
            print(f"amad-bench: error: {message}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        # They may go into a file on a full disk; what is left would be written, and fail, at exit.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.dup2(nowhere, sys.stderr.fileno())
    return 2


def _absent_package(error: BaseException | None) -> str | None:
    """The package of others that could not be found, perhaps by another one (pandas needs pyarrow)."""
    while error is not None:
        package = (getattr(error, "name", None) or "").partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and package not in ("amad_bench", *sys.stdlib_module_names):
            return package or None
        error = error.__cause__ or error.__context__
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="amad-bench", description="A benchmark of distillation across head counts."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str,
        command: Callable[[argparse.Namespace], int | None],
        summary: str,
        config: Path | None = shipped(DEFAULT_CONFIG),  # noqa: B008 (the same at each call)
        otherwise: str = "",
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=summary)
        default = config or otherwise
        sub.add_argument("--config", type=Path, default=config, help=f"config file (default: {default})")
        sub.set_defaults(command=command)
        return sub

    add("plan", plan, "show which runs a config asks for").add_argument(
        "--json", action="store_true", help="all runs with their configs, and what is skipped"
    )
    add(
        "doctor",
        doctor,
        "check the files that a config needs: there, complete, as published, what they block",
    )
    which = add(
        "data", data, "generate, read and prepare the data of a config"
    ).add_mutually_exclusive_group()
    which.add_argument("--run", metavar="ID", help="only what this run reads")
    which.add_argument("--key", help="only these prepared data (as named by the Snakefile)")
    for name, command, summary in (
        ("run", run, "train one run, decode and score it"),
        (
            "score",
            score,
            "compute the config's `extra_metrics` of all runs; with --run decode and score one again",
        ),
    ):
        sub = add(name, command, summary)
        sub.add_argument(
            "--run", metavar="ID", required=name == "run", help="id of a run, see `amad-bench plan --json`"
        )
        sub.add_argument("--device", choices=devices.choices(), help="instead of the config's `device`")
        if name == "run":
            sub.add_argument("--strict", action="store_true", help="exit code 1 where the run fails")
    add("collect", collect, f"gather all runs into {RESULTS.tables}/{{{','.join(COLLECTED)}}}").add_argument(
        "--from",
        dest="sources",
        type=Path,
        nargs="+",
        default=(),
        metavar="DIR",
        help="results folders of other machines, whose runs of this config are copied here first",
    )
    add("compare", compare, f"make {RESULTS.tables}/{{{','.join(COMPARED)}}} from the collected tables")
    add("power", power, "show which differences other numbers of seeds and blocks would show")
    add("figures", figures, f"draw {RESULTS.figures} from the tables").add_argument(
        "--run", metavar="ID", help="draw which head teaches which in this run instead"
    )
    add("report", report, f"write {RESULTS.report}, a page for people, from tables, figures and predictions")
    add("paper", paper, f"compile {PAPER} from tables and figures").add_argument(
        "--template", type=Path, default=shipped(TEMPLATE), help="its text (default: %(default)s)"
    )
    _add_exports(add)
    other = f"{DEFAULT_CONFIG}, of engine {PAPER_CORE}"
    what = f"measure speed and memory, into {RESULTS.bench}"
    measured = add("bench", bench, what, config=None, otherwise=other)
    measured.add_argument(
        "what",
        choices=("data", "scaling", "losses", "capture", "steps", "engine", *ATTENTION),
        help="data: an epoch of generated questions; scaling: plans of 10 to 2,000 runs; "
        "losses: those of attention maps, beside naive ones; "
        "capture: recording attention, beside plain and eager passes; steps: training steps of the config's "
        "losses, beside those of ce; engine: on --device, steps of the config's models on random examples, "
        "products of large maps, small runs at once; attention: on --device, losses from queries and keys by "
        "every kernel, and a figure of them; attention-steps: steps with them, eager and compiled; "
        "attention-quick: of both what eight minutes of a GPU allow, and what must be shown",
    )
    measured.add_argument(
        "--device",
        choices=devices.choices(),
        default=devices.AUTO,
        help="engine, attention*: where it is measured (default: %(default)s)",
    )
    measured.add_argument(
        "--records", type=int, default=100_000, help="data: questions (default: %(default)s)"
    )
    measured.add_argument(
        "--threads",
        type=int,
        help="losses, capture, steps, attention*: on CPU (default: 2, of steps 1, as in runs)",
    )
    measured.add_argument("--repeat", type=int, help="capture, steps: rounds (default: 3, of steps 60)")
    add("status", status, "show which runs are done, running and left, and how long that takes").add_argument(
        "--watch", action="store_true", help="go on showing it until all is done"
    )
    add(
        "clean",
        clean,
        "list run folders outside the plan, checkpoints of ended runs and killed preparations",
    ).add_argument("--yes", action="store_true", help="remove them")
    _add_failures(add)
    _add_verify(add)
    return parser


def _add_failures(add: Callable[..., argparse.ArgumentParser]) -> None:
    shown = add("failures", failures, "show why runs have no result, with the last lines of their logs")
    shown.add_argument("--strict", action="store_true", help="exit code 1 where there is a failure")
    again = add("retry", retry, "plan runs again that have ended; what they left is removed")
    again.add_argument("runs", metavar="ID", nargs="*", default=(), help="ids of runs")
    again.add_argument(
        "--status", metavar="S", nargs="+", default=(), help=f"all that ended so: {', '.join(FAILURES)}"
    )


def _add_verify(add: Callable[..., argparse.ArgumentParser]) -> None:
    what = "compare these results with a reference, exit code 1 on a real difference; or write one"
    other = f"the reference's, with --write {DEFAULT_CONFIG}"
    which = add("verify", verify, what, config=None, otherwise=other).add_mutually_exclusive_group(
        required=True
    )
    which.add_argument("--reference", type=Path, metavar="DIR", help="such as results/reference/NAME")
    which.add_argument(
        "--write", type=Path, metavar="DIR", help="a new folder, for the tables of a complete run"
    )


def _add_exports(add: Callable[..., argparse.ArgumentParser]) -> None:
    for name, command, summary, folder in (
        ("export", export, "write a trained model as a folder that `from_pretrained` reads", "a new folder"),
        (
            "predictions",
            predictions,
            "write a run's predictions as the evaluators of its data set read them",
            "a new folder, for a file per test split",
        ),
    ):
        sub = add(name, command, summary)
        sub.add_argument("run", metavar="RUN", help="id of a run")
        sub.add_argument("folder", metavar="DIR", type=Path, help=folder)
    asked = add("predict", predict, "answer questions without known answers, such as VQA's test-dev")
    asked.add_argument("run", metavar="RUN", help="id of a run")
    for name, what in (
        ("questions", "a file in the layout of VQA v2's questions"),
        ("photos", "a folder or .tar of photos; an image's id is the last number in its photo's name"),
        ("out", "a new file, in VQA's result format"),
    ):
        asked.add_argument(f"--{name}", type=Path, required=True, help=what)
    asked.add_argument(
        "--features",
        type=Path,
        nargs="+",
        default=(),
        help="features of these photos, where the run's inputs are precomputed features",
    )
    asked.add_argument("--device", choices=devices.choices(), help="instead of the config's `device`")
