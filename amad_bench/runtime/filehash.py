"""SHA-256 of files; those of large files are remembered, since every command asks for them."""

import hashlib
import json
import sys
import time
from functools import cache
from pathlib import Path

from amad_bench.runtime.files import write_json_atomic
from amad_bench.runtime.paths import results_dir

LARGE = 64 * 2**20  # bytes; smaller files are read again each time
SETTLED = 2.0  # seconds: a file changed later than that before it was read could change again unnoticed


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, of a large file that kept its size and time of change from memory."""
    facts = path.stat()
    return _sha256(path.resolve(), facts.st_size, facts.st_mtime_ns, facts.st_ino)


@cache
def _sha256(path: Path, size: int, modified_ns: int, inode: int) -> str:
    if size < LARGE:
        return read_sha256(path)
    identity = [size, modified_ns, inode]
    known = _remembered()
    if known.get(str(path), {}).get("identity") == identity:
        return known[str(path)]["sha256"]
    print(f"amad-bench: reading {path} ({size / 2**30:.1f} GiB) once to know its content", file=sys.stderr)
    digest = read_sha256(path)
    if time.time() - modified_ns / 1e9 > SETTLED:
        write_json_atomic(_memory(), {**_remembered(), str(path): {"identity": identity, "sha256": digest}})
    return digest


def read_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, read now."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def listing_sha256(folder: Path) -> str:
    """Of the names and sizes of a folder's files: photos by the hundred thousand are not read to be known."""
    sizes = sorted([str(f.relative_to(folder)), f.stat().st_size] for f in folder.rglob("*") if f.is_file())
    return hashlib.sha256(json.dumps(sizes).encode()).hexdigest()


def folder_sha256(folder: Path) -> str:
    """Of the content of all files in a folder (a model's or tokenizer's), hidden ones aside."""
    files = sorted(f for f in folder.rglob("*") if f.is_file() and not f.name.startswith("."))
    digests = [[str(f.relative_to(folder)), file_sha256(f)] for f in files]
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def _memory() -> Path:
    return results_dir() / "data" / "file_hashes.json"


def _remembered() -> dict[str, dict]:
    try:
        return json.loads(_memory().read_text(encoding="utf-8"))
    except (OSError, ValueError):  # absent or broken: read the files again
        return {}
