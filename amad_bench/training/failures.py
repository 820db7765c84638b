"""Scientific failures end a run with a status; everything else is a bug and passes through."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from amad_bench.runtime.devices import out_of_memory
from amad_bench.runtime.errors import RunFailed
from amad_bench.runtime.run_folder.status import Status


@contextmanager
def failures_noted(status: Status) -> Iterator[None]:
    """Turn a scientific failure inside into the status; anything else passes through."""
    try:
        yield
    except RunFailed as failure:
        _note(status, failure.status, failure.reason)
    except (MemoryError, RuntimeError, OSError) as error:
        if not out_of_memory(error):
            raise
        _note(status, "out_of_memory", str(error) or "no memory is left")


def _note(status: Status, name: str, reason: str) -> None:
    status.status, status.reason = name, " ".join(reason.split())[:500]
    status.log_tail = traceback.format_exc().splitlines()[-5:]
