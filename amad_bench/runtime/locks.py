"""Locks on folders that end with their process; who waits for one says so."""

import fcntl
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from amad_bench.runtime.errors import UserError

SILENT = 3.0  # seconds
_handles: set[int] = set()  # of the locks that this process has


def _leave_locks_to_the_parent() -> None:
    """A forked process would keep them when its parent is dead.

    One that is forked by another thread, just while a lock is being taken, still does: nothing here does so.
    """
    while _handles:
        os.close(_handles.pop())


os.register_at_fork(after_in_child=_leave_locks_to_the_parent)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """One process at a time inside, per folder; others wait. The lock ends with its process, kill -9 too.

    Who waits for long says on stderr for whom. UserError where the file system has no locks.
    """
    handle = os.open(folder, os.O_RDONLY)
    _handles.add(handle)
    try:
        if not _taken(handle, folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
            notice = threading.Timer(SILENT, _tell, [folder])
            notice.daemon = True
            notice.start()
            try:
                _taken(handle, folder)
            finally:
                notice.cancel()
        yield
    finally:
        if handle in _handles:  # not in a process that was forked inside
            _handles.remove(handle)
            os.close(handle)


def held(folder: Path) -> bool:
    """Whether a process is inside `exclusive`. UserError where the file system has no locks."""
    handle = os.open(folder, os.O_RDONLY)
    try:  # shared: two who only ask at the same time do not see each other
        return not _taken(handle, folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    finally:
        os.close(handle)


def hold(file: Path, *, shared: bool = False) -> int | None:
    """The handle of a file that this process has locked until it ends; None where another has.

    shared: others may have it at the same time, if they share it, too. The file is made if need be. UserError
    where the file system has no locks, OSError where nothing can be written.
    """
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if _taken(handle, file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB):
            _handles.add(handle)
            return handle
    except UserError:
        os.close(handle)
        raise
    os.close(handle)
    return None


def let_go(handle: int) -> None:
    """End what `hold` began; nothing in a process that was forked since then, which does not have it."""
    if handle in _handles:
        _handles.remove(handle)
        os.close(handle)


def own() -> list[int]:
    """The handles of all locks that this process has. A process that inherits one has the lock, too."""
    return sorted(_handles)


def adopt(handles: Iterable[int]) -> None:
    """From now on inherited handles are as if this process had taken their locks: it ends with them."""
    for handle in handles:
        os.set_inheritable(handle, False)
        _handles.add(handle)


def _taken(handle: int, folder: Path, how: int = fcntl.LOCK_EX) -> bool:
    """Whether the lock is now this process's; with LOCK_NB it does not wait."""
    try:
        fcntl.flock(handle, how)
    except BlockingIOError:
        return False
    except OSError as error:  # ENOLCK, EOPNOTSUPP, ENOSYS: some network file systems
        raise UserError(
            f"{folder}: cannot be locked ({error.strerror}), so two processes could write there at once; "
            "work in a folder on a local disk, or have the file system mounted with locks (flock)"
        ) from None
    return True


def _tell(folder: Path) -> None:
    print(f"amad-bench: waiting for {_holder(folder)}, which holds {folder}", file=sys.stderr, flush=True)


def _holder(folder: Path) -> str:
    """By /proc/locks (Linux): number, FLOCK, ADVISORY, WRITE, process (0: not of this container), place"""
    facts = folder.stat()
    place = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    for fields in map(str.split, lines):
        if fields[1] == "FLOCK" and fields[5] == place and int(fields[4]) > 0:
            return f"process {fields[4]}"
    return "another process"
