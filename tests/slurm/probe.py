"""A job that takes its place on a GPU and says what it saw, as JSON; `python -m tests.slurm` starts it."""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from amad_bench.runtime.slots import place, taken

if __name__ == "__main__":
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    with taken():
        own = place()
        locks = sorted(path.name for path in Path(tempfile.gettempdir()).glob("amad-bench-gpus-*/*.lock"))
        time.sleep(3)  # so that another one is at work, too
        seen = {"given": given, "used": os.environ.get("CUDA_VISIBLE_DEVICES"), "locks": locks}
        json.dump(seen | {"gpus": own and own.gpus}, sys.stdout)
