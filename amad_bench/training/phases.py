"""Phases of a run: told to who watches, and timed."""

from collections.abc import Iterator
from contextlib import contextmanager

from amad_bench.runtime.progress import phase
from amad_bench.runtime.run_folder.status import Status


@contextmanager
def in_phase(status: Status, name: str) -> Iterator[None]:
    """Inside is a phase, one of PHASES; its seconds are added, also where a failure ends it."""
    phase(name.replace("_", " "))
    with status.timed(name):
        yield
