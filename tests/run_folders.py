"""Folders of runs that have ended, without training: what they hold means nothing, but it is there."""

import json
from pathlib import Path
from typing import Any

from amad_bench.plan.run import Run
from amad_bench.runtime.errors import USABLE
from amad_bench.runtime.results import RESULTS, ResultsFolder
from amad_bench.runtime.run_folder.folder import RunFolder


def begin_run(run: Run, results: ResultsFolder = RESULTS, **config: Any) -> RunFolder:
    """A run that was started. config: what its record says otherwise."""
    folder = results.run(run.id)
    folder.path.mkdir(parents=True, exist_ok=True)
    written = {"id": run.id, "kind": run.kind, "config": run.config.canonical() | config, "provenance": {}}
    folder.record.write_text(json.dumps(written))
    return folder


def end_run(run: Run, results: ResultsFolder = RESULTS, status: str = "done", **facts: Any) -> RunFolder:
    """A run that has ended, with empty files. facts: more of its status.json."""
    folder = begin_run(run, results)
    folder.steps.touch()
    if status in USABLE:
        folder.checkpoint.touch()
        if run.kind != "pretrain":
            folder.predictions.touch()
            folder.scores.touch()
    folder.status.write_text(json.dumps({"status": status, "wall_seconds": 60.0, **facts}))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
