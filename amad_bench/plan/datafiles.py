"""The files that a task entry's data come from: whether they are there, and the hash that identifies them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from amad_bench.plan.catalogue import record_of
from amad_bench.plan.run_config import short_hash
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.filehash import file_sha256, folder_sha256, listing_sha256
from amad_bench.runtime.paths import amad_data

DIGITS = 16
features_sha256 = cache(folder_sha256)  # a process lists what its task entries share once


@dataclass(frozen=True)
class Source:
    """Something below AMAD_DATA.

    kind: "text", "photos" (a folder, or path + ".tar"), "features" (an HDF5 file or a folder of .npz),
    "folder" (of a pretrained model or tokenizer), "checkpoint" (a file or a folder).
    """

    path: str
    kind: str

    def found(self, root: Path) -> Path | None:
        """Place of it; None when it is not there, or not of its kind. A link that leads nowhere is there."""
        path = root / self.path
        if path.is_symlink() and not path.exists():
            return path
        if self.kind == "text":
            return path if path.is_file() else None
        if self.kind == "folder":
            return path if path.is_dir() else None
        if self.kind == "photos":
            archive = path.with_name(path.name + ".tar")
            return path if path.is_dir() else archive if archive.is_file() else None
        return path if path.exists() else None

    def sha256(self, path: Path) -> str:
        """Digest of its content at `path`; of a folder of photos, of names and sizes."""
        if path.is_file():
            return file_sha256(path)
        if self.kind == "photos":
            return listing_sha256(path)
        return folder_sha256(path) if self.kind in ("folder", "checkpoint") else features_sha256(path)


def sources(
    dataset: str, task: str, options: Mapping[str, Any], reads: str, features: Sequence[str] | None
) -> list[Source]:
    """Sources of a task's examples, and of what the model sees of their images (`reads`: by its kind)."""
    record = record_of(dataset, options)
    wanted: list[Source] = []
    if not record.generated:
        wanted += [Source(path, "text") for path in record.files(task, options).values()]
    if reads == "features":
        wanted += [Source(path, "features") for path in features or ()]
    elif not record.generated:
        wanted += [Source(path, "photos") for path in record.photos(options).values()]
    return list(dict.fromkeys(wanted))  # the files of two splits may be the same


def missing(wanted: Sequence[Source]) -> str:
    """Reason why they cannot be read, in one sentence; "" when all are there."""
    if not wanted:
        return ""
    try:
        root = amad_data()
    except UserError as error:
        return str(error)
    absent = [source.path for source in wanted if source.found(root) is None]
    if not absent:
        return ""
    others = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
    return (
        f"missing below AMAD_DATA: {absent[0]}{others}; `amad-bench doctor` lists all and who publishes them"
    )


def content_hash(wanted: Sequence[Source], digits: int = DIGITS) -> str:
    """Hash of the content of all these, which must be there; the place of AMAD_DATA does not count."""
    root = amad_data().resolve()
    digests = {}
    for source in wanted:
        path = source.found(root)
        if path is None:
            raise UserError(f"{root / source.path}: no such file; restore it")
        try:
            digests[source.path] = source.sha256(path)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror or error}; make it readable or restore it") from None
    return short_hash(digests, digits)


def dataset_hash(name: str, options: Mapping[str, Any], wanted: Sequence[Source]) -> str:
    """16 hex digits. Generated: of options and generator version. Real: of what it is read from."""
    dataset = record_of(name, options)
    if dataset.generated:
        return short_hash({"name": name, "options": dict(options), "version": dataset.version}, DIGITS)
    return content_hash(wanted)
