"""SHA-256 of files and folders; those of large ones are remembered, since every command asks for them."""

import hashlib
import json
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from amad_bench.runtime.files import write_json_atomic
from amad_bench.runtime.results import RESULTS

LARGE = 64 * 2**20  # bytes; what is smaller is read again each time
_JUNK = {
    *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"),  # Windows, macOS
    *("readme", "readme.txt", "license", "license.txt", "sha256sums", "md5sums"),
    *("tf_model.h5", "flax_model.msgpack", "rust_model.ot"),  # a published model for other frameworks
}
# backups, what is being downloaded or edited, and what Windows notes beside a file on another system
_JUNK_ENDS = ("~", ".md", ".swp", ".part", ".tmp", ".crdownload", ":zone.identifier", ":encryptable")
SETTLED = 2.0  # seconds: a file changed later than that before it was read could change again unnoticed


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, of a large file that kept its size and times of change from memory."""
    facts = path.stat()
    return _sha256(path.resolve(), facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)


@cache
def _sha256(path: Path, size: int, modified_ns: int, changed_ns: int, inode: int) -> str:
    identity = [size, modified_ns, changed_ns, inode]  # a program may set the first time back, not the second
    return _recalled(path, size, identity, modified_ns, lambda: read_sha256(path))


def _recalled(path: Path, size: int, identity: Any, modified_ns: int, read: Callable[[], str]) -> str:
    """The result of `read`, from memory where something large has kept its identity."""
    if size < LARGE:
        return read()
    known = _remembered()
    if known.get(str(path), {}).get("identity") == identity:
        return known[str(path)]["sha256"]
    print(f"amad-bench: reading {path} ({size / 2**30:.1f} GiB) once to know its content", file=sys.stderr)
    started = time.time()
    digest = read()
    if started - modified_ns / 1e9 > SETTLED:
        now = {str(path): {"identity": identity, "sha256": digest}}
        write_json_atomic(RESULTS.file_hashes, _remembered() | now)
    return digest


def read_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, read now."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ListedFile(NamedTuple):
    """A file in a folder."""

    name: str
    size: int
    modified_ns: int
    changed_ns: int
    inode: int


def is_junk(name: str) -> bool:
    """Whether a file's name is one that systems, editors and publishers leave beside data, read by nobody."""
    lower = name.lower()
    return lower.startswith((".", "~$")) or lower.endswith(_JUNK_ENDS) or lower in _JUNK


def data_entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Entries directly in a folder of photos, features or a model, but junk and folders: none is read below.

    A link is there, wherever it leads.
    """
    with os.scandir(folder) as entries:
        yield from (e for e in entries if not (is_junk(e.name) or e.is_dir(follow_symlinks=False)))


def listing(folder: Path) -> list[ListedFile]:
    """The files of `data_entries`, by name."""
    facts = [(entry.name, entry.stat()) for entry in data_entries(folder) if entry.is_file()]
    return sorted(
        ListedFile(name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
        for name, stat in facts
    )


@cache
def listing_sha256(folder: Path) -> str:
    """The SHA-256 of a folder's names and sizes: photos by the hundred thousand are not read to be known.

    A Mac may write an accent as a character of its own: the name is the same.

    A process lists a folder once: many tasks share their photos.
    """
    facts = sorted((unicodedata.normalize("NFC", file.name), file.size) for file in listing(folder))
    return _json_sha256([list(fact) for fact in facts])


def folder_sha256(folder: Path) -> str:
    """The SHA-256 of the content of the files in a folder (of a model, a tokenizer, features).

    That of a large folder is remembered, as long as names, sizes, times of change and inodes stay the same.
    """
    files = listing(folder)

    def read() -> str:
        return _json_sha256([[file.name, read_sha256(folder / file.name)] for file in files])

    newest = max((file.modified_ns for file in files), default=0)
    size = sum(file.size for file in files)
    return _recalled(folder.resolve(), size, _json_sha256(files), newest, read)


def _json_sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _remembered() -> dict[str, dict]:
    try:
        return json.loads(RESULTS.file_hashes.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # absent or broken: read the files again
        return {}
