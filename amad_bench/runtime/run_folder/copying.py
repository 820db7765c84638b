"""A run that has ended, copied from the results of another machine."""

import shutil
from pathlib import Path

from amad_bench.runtime.files import atomic_file
from amad_bench.runtime.locks import exclusive
from amad_bench.runtime.run_folder.folder import RunFolder


def copy_run(source: RunFolder, target: RunFolder, *, weights: bool) -> None:
    """Make `target` the run that `source` holds; what stood there of an unfinished one goes.

    Its status comes last, so that a copy that was broken off is a run that has not ended. Checkpoints of the
    training stay behind, and its weights unless they are asked for. A process that wants the run waits.
    """
    target.path.mkdir(parents=True, exist_ok=True)
    with exclusive(target.path):
        target.forget()
        for path in _files(source, weights):
            with atomic_file(target.path / path.relative_to(source.path), synced=True) as temporary:
                shutil.copyfile(path, temporary)
        target.ended.touch()


def _files(source: RunFolder, weights: bool) -> list[Path]:
    """The files that a copy takes along, the record and then the status at the end."""
    last = [source.record, source.status]
    left = {*last, source.live, source.ended}
    left |= set() if weights else {source.checkpoint, source.loss_parameters}
    found = [
        path
        for path in sorted(source.path.rglob("*"))
        if path.is_file()
        and path not in left
        and source.checkpoints not in path.parents
        and not (path.name.startswith(".") and path.suffix == ".tmp")
    ]
    return [*found, *last]
