"""One process at a time; who waits says for whom."""

import errno
import fcntl
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from amad_bench.runtime import locks
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import atomic_directory
from amad_bench.runtime.locks import exclusive, held
from tests.runtime.other_process import other_process


@pytest.fixture
def holder(tmp_path):
    """A process that is inside for a minute, unless it is killed."""
    code = (
        "import sys, time; from pathlib import Path; from amad_bench.runtime.locks import exclusive\n"
        "with exclusive(Path(sys.argv[1])): print('in', flush=True); time.sleep(60)"
    )
    with other_process(code, tmp_path) as (process, line):
        assert line == "in\n"
        yield process


def enter(folder: Path) -> tuple[threading.Thread, threading.Event]:
    """A second one that wants to be inside, and whether it was."""
    entered = threading.Event()

    def second() -> None:
        with exclusive(folder):
            entered.set()

    thread = threading.Thread(target=second)
    thread.start()
    return thread, entered


def test_a_second_process_waits_until_the_first_is_gone(tmp_path, holder, capfd):
    """The holder is killed, as after a power cut or `kill -9`: its lock goes with it."""
    thread, entered = enter(tmp_path)
    assert not entered.wait(0.3)
    assert held(tmp_path)
    holder.kill()
    thread.join(10)
    assert entered.is_set()
    assert capfd.readouterr().err == ""  # a short wait is none to speak of
    with exclusive(tmp_path):  # and it is free again
        pass
    assert not held(tmp_path)


def test_a_long_wait_is_said_once_and_goes_on(tmp_path, holder, capfd, monkeypatch):
    monkeypatch.setattr(locks, "SILENT", 0.05)
    thread, entered = enter(tmp_path)
    time.sleep(0.4)
    known = Path("/proc/locks").is_file()
    who = f"process {holder.pid}" if known else "another process"
    assert capfd.readouterr().err == f"amad-bench: waiting for {who}, which holds {tmp_path}\n"
    holder.kill()
    thread.join(10)
    assert entered.is_set()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_one_line(tmp_path, monkeypatch, number):
    def refuse(_handle: int, _how: int) -> None:  # no such file system can be mounted for a test
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    for use in (lambda: exclusive(tmp_path).__enter__(), lambda: held(tmp_path)):
        with pytest.raises(UserError) as caught:
            use()
        assert str(caught.value).startswith(f"{tmp_path}: cannot be locked ({os.strerror(number)})")
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="cannot be locked"), atomic_directory(tmp_path / "new"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_was_forked_inside_does_not_keep_the_lock(tmp_path):
    """As a worker that hangs in a read, when its run was killed."""
    code = (
        "import os, sys, time; from pathlib import Path; from amad_bench.runtime.locks import exclusive\n"
        "with exclusive(Path(sys.argv[1])):\n"
        "    child = os.fork()\n"
        "    print(child, flush=True) if child else None\n"
        "    time.sleep(60)"
    )
    with other_process(code, tmp_path) as (process, line):
        child = int(line)
        try:
            assert held(tmp_path)
            process.kill()
            process.wait()
            ends = time.monotonic() + 10  # it may not have run yet
            while held(tmp_path) and time.monotonic() < ends:
                time.sleep(0.01)
            os.kill(child, 0)  # it lives
            assert not held(tmp_path)
        finally:
            os.kill(child, signal.SIGKILL)


def test_the_holder_of_another_folder_is_not_blamed(tmp_path, holder):
    other = tmp_path / "other"
    other.mkdir()
    with exclusive(other):
        assert locks._holder(tmp_path) == f"process {holder.pid}"
        assert locks._holder(other) == f"process {os.getpid()}"


def test_two_who_only_ask_do_not_see_each_other(tmp_path):
    asking = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)  # as `held` does, for a moment
    try:
        assert not held(tmp_path)
    finally:
        os.close(asking)
