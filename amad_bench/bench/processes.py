"""Commands of this package in processes of their own."""

import os
from pathlib import Path


def environment() -> dict[str, str]:
    """This process's, with the package that it was imported from, wherever the command runs."""
    package = str(Path(__file__).resolve().parents[2])
    found = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": found, "OMP_NUM_THREADS": "1"}
