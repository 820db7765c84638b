"""What identifies a data set: its files' content, or what it is generated from."""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from amad_bench.plan.catalogue import DATASETS
from amad_bench.plan.run import short_hash
from amad_bench.runtime.errors import UserErrors
from amad_bench.runtime.paths import amad_data

DIGITS = 16


def dataset_hash(name: str, options: Mapping[str, Any]) -> str:
    """16 hex digits. Generated: of options and generator version. Real: of the files' bytes below AMAD_DATA.

    UserErrors names every file that is missing or unreadable; UserError when AMAD_DATA is not set.
    """
    dataset = DATASETS[name]
    if dataset.generated:
        return short_hash({"name": name, "options": dict(options), "version": dataset.version}, DIGITS)
    folder = amad_data().resolve()
    problems = []
    digests = {}
    for file in dataset.files:
        path = folder / file
        try:
            digests[file] = _file_hash(path, path.stat().st_mtime_ns)
        except OSError as error:
            problems.append(
                f"{path}: {error.strerror or error}; data set {name!r} needs this file below AMAD_DATA, "
                "restore it or take the data set out of the config"
            )
    if problems:
        raise UserErrors(problems)
    return short_hash(digests, DIGITS)


@cache
def _file_hash(path: Path, modified_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
