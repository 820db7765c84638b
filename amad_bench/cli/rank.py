"""The entry of a rank that `runtime.launch` started."""

import os
import sys
import traceback

from amad_bench.cli import main as command


def main() -> None:
    """Runs the command line; where it fails the process ends at once.

    An orderly end would close connections, and may wait there for ranks that do something else.
    """
    try:
        code = command()
    except BaseException:
        traceback.print_exc()
        code = 1
    if code == 0:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
