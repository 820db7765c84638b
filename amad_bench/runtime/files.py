"""Files that are either complete or absent: written beside their place, then renamed onto it."""

import codecs
import gzip
import json
import os
import shutil
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.locks import exclusive, held
from amad_bench.runtime.refusals import refusals_named

if TYPE_CHECKING:
    import pandas as pd


LFS_POINTER = "a Git LFS pointer, not the file itself; fetch that with `git lfs pull`"


def _beside(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


@contextmanager
def atomic_file(path: Path, synced: bool = False) -> Iterator[Path]:
    """A temporary path to write to; it becomes `path` when the block succeeds and goes when it fails.

    synced: to the disk, so that even a power cut leaves it complete, or leaves what was there.
    A full disk is an OSError that names `path`, whichever library meets it.
    """
    temporary = _beside(path)
    try:
        with refusals_named(path):
            yield temporary
            if synced:
                _sync(temporary)
            os.replace(temporary, path)
            if synced:
                _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """A temporary folder to fill; it becomes `path` on success, unless another process was first.

    Meant for content that is a function of the path, so that it does not matter which process wins. A full
    disk is an OSError, as for `atomic_file`.
    """
    temporary = _beside(path)
    temporary.mkdir()
    try:
        with (
            refusals_named(path),
            exclusive(temporary),
        ):  # how `abandoned` knows that it is still being filled
            yield temporary
            try:
                os.rename(temporary, path)
            except OSError:
                if not path.is_dir():
                    raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def refuse_existing(path: Path) -> None:
    """UserError for a path that is there, since what a person names to be written must replace nothing, or
    that stands below a file.
    """
    if path.exists():
        raise UserError(f"{path}: it exists, and nothing is overwritten; name another or remove it")
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        raise UserError(f"{path}: {above} is a file, no folder; name a place elsewhere")


def abandoned(folder: Path, name: str = "*") -> list[Path]:
    """The temporary folders that `atomic_directory` left in a folder when its process was killed.

    name: of what they were to become.
    """
    return sorted(path for path in folder.glob(f".{name}.*.tmp") if path.is_dir() and not held(path))


def write_bytes_atomic(path: Path, content: bytes) -> None:
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def write_text_atomic(path: Path, text: str) -> None:
    """Write UTF-8; half a character (of a file name that is no UTF-8) as the escape that JSON has for it."""
    write_bytes_atomic(path, text.encode("utf-8", errors="backslashreplace"))


def write_json_atomic(path: Path, value: Any) -> None:
    """Indented, key order kept. NaN and infinity are refused (ValueError): they are not JSON."""
    write_text_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def lfs_pointer(content: bytes) -> bool:
    """Whether a file's content, or how it begins, is what Git LFS leaves in its place until it is fetched."""
    return content.startswith(b"version https://git-lfs.github.com/spec/")


def is_lfs_pointer(path: Path) -> bool:
    """Whether a Git LFS pointer is in a file's place; False where none can be read."""
    with suppress(OSError), path.open("rb") as file:
        return lfs_pointer(file.read(64))
    return False


def refuse_lfs_pointer(path: Path) -> None:
    """UserError where a Git LFS pointer is in a file's place."""
    if is_lfs_pointer(path):
        raise UserError(f"{path}: {LFS_POINTER}")


def read_bytes(path: Path) -> bytes:
    """The content of an input file, unpacked where its name ends in .gz; UserError when it cannot be had."""
    try:
        content = path.read_bytes()
        if lfs_pointer(content):
            raise UserError(f"{path}: {LFS_POINTER}")
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; put it there or correct the path") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a file was expected, this is a folder; put the file there") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read ({reason}); make it readable or restore it") from None


def read_json(path: Path) -> Any:
    """The value in a JSON file (.json or .json.gz).

    UserError naming the file when it cannot be read, is not UTF-8, starts with a byte order mark, is broken,
    names a key of an object twice or holds NaN or infinity, which are not JSON.
    """
    content = read_bytes(path)
    if content.startswith(codecs.BOM_UTF8):
        raise UserError(f"{path}: starts with a byte order mark; save it as UTF-8 without one or restore it")
    try:
        return json.loads(
            content.decode("utf-8"), object_pairs_hook=_without_repeats, parse_constant=_refused
        )
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8 or restore it"
        ) from None
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}: broken JSON in line {error.lineno} ({error.msg}); restore or delete it"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: broken JSON ({error}); restore or delete it") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """json would keep the last value of a repeated key and say nothing."""
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {repeated!r} twice in one object: {_shortened(record)}")
    return record


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON value")


def _shortened(value: Any, characters: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= characters else f"{text[:characters]}..."


def write_parquet_atomic(path: Path, frame: "pd.DataFrame") -> None:
    """Write without the index: equal frames give equal bytes."""
    with atomic_file(path) as temporary:
        frame.to_parquet(temporary, index=False, engine="pyarrow")


def write_table(frame: "pd.DataFrame", path_without_suffix: Path) -> None:
    """The frame as .parquet for programs and as .csv for people."""
    write_parquet_atomic(path_without_suffix.with_name(path_without_suffix.name + ".parquet"), frame)
    with atomic_file(path_without_suffix.with_name(path_without_suffix.name + ".csv")) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")
