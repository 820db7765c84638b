"""Refusals of the machine, a full disk above all: known whoever says it, in whatever words."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
_WRITABLE = "make it readable and writable, or work in another folder"
WHAT_TO_DO = {
    errno.EACCES: _WRITABLE,
    errno.EPERM: _WRITABLE,
    errno.EROFS: _WRITABLE,
    **dict.fromkeys(FULL, "free some space"),
    errno.EFBIG: "allow larger files (ulimit -f)",
}
# of libraries in Rust (safetensors, tokenizers), of HDF5; and of numpy, which gives no reason
_CODES = (re.compile(r"\(os error (\d+)\)"), re.compile(r"errno = (\d+)"))
_BLOCK = 2**20
_CUT_SHORT = re.compile(r"^\d+ requested and \d+ written$")


def refusal(error: BaseException) -> int | None:
    """The error number of what the machine refused, if that is what an exception says."""
    code = error.errno if isinstance(error, OSError) else None
    text = str(error)
    if code is None:
        found = next((match for pattern in _CODES if (match := pattern.search(text))), None)
        code = int(found[1]) if found else errno.ENOSPC if _CUT_SHORT.match(text) else None
    return code if code in WHAT_TO_DO else None


@contextmanager
def refusals_named(path: Path) -> Iterator[None]:
    """Turns what the machine refuses inside into an OSError that names `path`; all else passes through."""
    try:
        yield
    except Exception as error:
        code = refusal(error)
        if code is None or (isinstance(error, OSError) and error.errno == code and error.filename):
            raise
        raise OSError(code, os.strerror(code), str(path)) from error


def reserve(path: Path, start: int) -> None:
    """Gives a file that was made to a size its space on the disk, so that its memory map can be written.

    A full disk would end the process there, without a word (SIGBUS). start: bytes that are written already;
    all others are zeros. OSError, naming the file: no space is left.
    """
    with refusals_named(path), path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
            return
        file.seek(start)  # macOS
        while left := size - file.tell():
            file.write(bytes(min(left, _BLOCK)))
