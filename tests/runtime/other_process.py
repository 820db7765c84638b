"""Another process, which says a line when it has come to where a test wants it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def other_process(code: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that runs code with the folder as its argument, and its first line; killed at the end."""
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
