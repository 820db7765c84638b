"""This package in processes of their own."""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from amad_bench.runtime.devices import find

AMAD_BENCH = (sys.executable, "-c", "import sys; from amad_bench.cli import main; sys.exit(main())")


def environment() -> dict[str, str]:
    """This process's, with the package that it was imported from, wherever the command runs."""
    package = str(Path(__file__).resolve().parents[2])
    found = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": found, "OMP_NUM_THREADS": "1"}


def device_name(asked: str) -> str:
    """Name of the device that `find` finds, which this process does not touch; UserError as there."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_name, asked).result()


def _name(asked: str) -> str:
    return find(asked).name
