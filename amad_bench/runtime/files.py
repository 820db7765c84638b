"""Files that are either complete or absent: written beside their place, then renamed onto it."""

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amad_bench.runtime.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


def _beside(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it becomes `path` when the block succeeds and goes when it fails."""
    temporary = _beside(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """A temporary folder to fill; it becomes `path` on success, unless another process was first.

    Meant for content that is a function of the path, so that it does not matter which process wins.
    """
    temporary = _beside(path)
    temporary.mkdir()
    try:
        yield temporary
        try:
            os.rename(temporary, path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """One process at a time inside, per folder; others wait. The lock ends with its process, kill -9 too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write_bytes_atomic(path: Path, content: bytes) -> None:
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def write_text_atomic(path: Path, text: str) -> None:
    write_bytes_atomic(path, text.encode("utf-8"))


def write_json_atomic(path: Path, value: Any) -> None:
    """Indented, key order kept. NaN and infinity are refused (ValueError): they are not JSON."""
    write_text_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file; UserError naming the file when it is missing, not UTF-8 or broken."""
    try:
        return json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; it was expected to hold JSON") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a JSON file was expected, this is a folder") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8 or restore it"
        ) from None
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}: broken JSON in line {error.lineno} ({error.msg}); restore or delete it"
        ) from None


def write_parquet_atomic(path: Path, frame: "pd.DataFrame") -> None:
    """Without the index: equal frames give equal bytes."""
    with atomic_file(path) as temporary:
        frame.to_parquet(temporary, index=False, engine="pyarrow")


def write_table(frame: "pd.DataFrame", path_without_suffix: Path) -> None:
    """The frame as .parquet for programs and as .csv for people."""
    write_parquet_atomic(path_without_suffix.with_name(path_without_suffix.name + ".parquet"), frame)
    with atomic_file(path_without_suffix.with_name(path_without_suffix.name + ".csv")) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")
