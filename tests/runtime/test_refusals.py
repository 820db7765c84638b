"""A full disk, whoever writes: an OSError that names the file, no dead process, no file left behind."""

import errno
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel

from amad_bench.data.images.new_features import new_features
from amad_bench.data.text.arrays import new_array
from amad_bench.data.text.columns import TEXT, write_columns
from amad_bench.models.checkpoints import save_tensors
from amad_bench.runtime.files import (
    atomic_directory,
    atomic_file,
    write_bytes_atomic,
    write_parquet_atomic,
    write_table,
)
from amad_bench.runtime.refusals import refusal, refusals_named, reserve
from tests.full_disk import SmallDisk, disk  # noqa: F401 (a fixture)

NUMBERS = np.random.default_rng(0).random(200_000)  # 1.6 MB that cannot be compressed
TEXTS = [f"{number:.17f}" for number in NUMBERS[:50_000]]


def _npy(path: Path) -> None:
    with atomic_directory(path) as folder:
        np.save(folder / "a.npy", NUMBERS)


def _mapped(path: Path) -> None:
    with atomic_directory(path) as folder:
        new_array(folder / "a.npy", np.float64, NUMBERS.shape)[:] = NUMBERS


def _columns(path: Path) -> None:
    with atomic_directory(path) as folder:
        write_columns(folder / "a.arrow", {"text": TEXT}, ((text,) for text in TEXTS))


def _hdf5(path: Path) -> None:
    boxes_R4 = np.zeros((40, 4), np.float32)
    with atomic_file(path) as temporary, new_features(temporary) as file:
        for number, part in enumerate(np.split(NUMBERS.reshape(-1, 50), 100)):
            file.add(str(number), part, boxes_R4, 48, 64)
    with h5py.File(path) as file:
        assert np.array_equal(np.concatenate([file[str(n)]["features"] for n in range(100)]).ravel(), NUMBERS)


def _tokenizer(path: Path) -> None:
    with atomic_directory(path) as folder:
        Backend(WordLevel({text: number for number, text in enumerate(TEXTS)})).save(str(folder / "a.json"))


def _safetensors(path: Path) -> None:
    save_tensors({"a": torch.from_numpy(NUMBERS)}, path, {}, {})


def _parquet(path: Path) -> None:
    write_parquet_atomic(path, pd.DataFrame({"value": NUMBERS}))


def _table(path: Path) -> None:
    write_table(pd.DataFrame({"value": TEXTS}), path)


def _bytes(path: Path) -> None:
    write_bytes_atomic(path, NUMBERS.tobytes())


WRITERS: dict[str, Callable[[Path], None]] = {
    "npy": _npy,
    "memory map": _mapped,
    "arrow": _columns,
    "hdf5": _hdf5,
    "tokenizer": _tokenizer,
    "safetensors": _safetensors,
    "parquet": _parquet,
    "table": _table,
    "bytes": _bytes,
}


@contextmanager
def limited(size: int) -> Iterator[None]:
    """Files may have so many bytes: no full disk, but as sudden, for those who may not mount one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.name != "filling")


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk(writer: str, disk: SmallDisk) -> None:  # noqa: F811
    filling, target = disk.fill(leave_kib=700), disk.path / "target"
    with pytest.raises(OSError, match="No space left on device") as caught:
        WRITERS[writer](target)
    assert caught.value.errno == errno.ENOSPC
    assert Path(caught.value.filename).is_relative_to(disk.path)
    assert _left(disk.path) in ([], ["target.parquet"])  # of two files the first may have had its place
    filling.unlink()
    WRITERS[writer](target)
    assert _left(disk.path)


@pytest.mark.parametrize("writer", WRITERS)
def test_files_that_may_not_grow(writer: str, tmp_path: Path) -> None:
    with limited(500_000), pytest.raises(OSError, match=r"File too large|No space left") as caught:
        WRITERS[writer](tmp_path / "target")
    assert caught.value.errno in (errno.EFBIG, errno.ENOSPC)
    assert _left(tmp_path) in ([], ["target.parquet"])


@pytest.mark.parametrize("writer", ["bytes", "npy", "safetensors"])
def test_a_disk_that_is_read_only(writer: str, disk: SmallDisk) -> None:  # noqa: F811
    disk.remount("ro")
    with pytest.raises(OSError, match="Read-only file system") as caught:
        WRITERS[writer](disk.path / "target")
    assert caught.value.errno == errno.EROFS
    assert caught.value.filename


def test_reserved_space_is_there(disk: SmallDisk) -> None:  # noqa: F811
    path = disk.path / "sparse"
    with path.open("wb") as file:
        file.truncate(1_000_000)
    assert path.stat().st_blocks == 0
    reserve(path, 0)
    assert path.stat().st_blocks * 512 >= 1_000_000
    assert path.read_bytes() == bytes(1_000_000)


def test_where_nothing_reserves_zeros_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.posix_fallocate")
    path = tmp_path / "sparse"
    path.write_bytes(b"header")
    with path.open("r+b") as file:
        file.truncate(3 * 2**20 + 7)
    reserve(path, 6)
    assert path.read_bytes() == b"header" + bytes(3 * 2**20 + 1)
    assert path.stat().st_blocks * 512 >= 3 * 2**20


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.EDQUOT, "no more"), errno.EDQUOT),
        (
            RuntimeError("Unable to write (file write failed: errno = 28, error message = 'No space')"),
            errno.ENOSPC,
        ),
        (Exception("No space left on device (os error 28)"), errno.ENOSPC),
        (OSError("3200 requested and 120 written"), errno.ENOSPC),
        (OSError(errno.ENOENT, "no such file"), None),
        (Exception("No such file or directory (os error 2)"), None),
        (RuntimeError("3200 requested and 120 written, says a bug"), None),
        (ValueError("28"), None),
    ],
)
def test_what_is_a_refusal(error: Exception, code: int | None) -> None:
    assert refusal(error) == code


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), FileNotFoundError(2, "no", "x")])
def test_all_else_passes_through(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, refusals_named(Path("file")):
        raise error
    assert caught.value is error
