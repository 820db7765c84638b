"""Whatever happens to a worker, the wait for it ends in one line; a run that ends takes its workers along."""

import faulthandler
import multiprocessing
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from amad_bench.data.tasks import workers
from amad_bench.data.tasks.workers import in_workers
from amad_bench.runtime.errors import UserError

# Python 3.12 warns of any fork while a thread runs; the workers only compute.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def squared(number: int) -> int:
    return number * number


@pytest.mark.parametrize("items", [0, 1, 2, 3, 50])
@pytest.mark.parametrize("workers", [1, 3])
def test_all_results_in_order(items, workers):
    assert list(in_workers(squared, range(items), workers)) == [i**2 for i in range(items)]
    assert not multiprocessing.active_children()


def test_items_are_drawn_one_ahead_for_each_worker():
    drawn = []
    results = in_workers(squared, (drawn.append(i) or i for i in range(9)), 2)
    next(results)
    assert drawn == [0, 1, 2]
    results.close()  # pyright: ignore[reportAttributeAccessIssue]


def test_long_questions_and_long_answers_never_wait_for_each_other():
    """Each is many times what a socket takes without a reader."""
    items = [np.full(4_000_000, i, np.uint8) for i in range(6)]
    for item, result in zip(items, in_workers(np.copy, items, 2), strict=True):
        assert np.array_equal(item, result)
        assert result.flags.writeable  # torch warns of arrays that are not


def ends(how: Callable[[], object]) -> Callable[[int], int]:
    """A function that ends its process at item 3."""

    def function(item: int) -> int:
        if item == 3:
            how()
        return item

    return function


def suicide(by: signal.Signals) -> Callable[[], None]:
    def function() -> None:
        faulthandler.disable()  # pytest's would write about it
        os.kill(os.getpid(), by)

    return function


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (
            suicide(signal.SIGKILL),
            "signal 9, SIGKILL, as when memory runs out; lower workers or training.batch",
        ),
        (suicide(signal.SIGBUS), "signal 7, SIGBUS, as when a file is cut short"),
        (
            suicide(signal.SIGSEGV),
            "signal 11, SIGSEGV, a library that reads images crashed; set workers: 0",
        ),
        (suicide(signal.SIGUSR1), "signal 10, SIGUSR1, start again"),
        (lambda: os._exit(3), "exit code 3, what it wrote stands above; set workers: 0"),
    ],
)
def test_a_worker_that_dies_is_one_line_and_no_other_stays(how, says):
    started, results = time.perf_counter(), []
    with pytest.raises(UserError) as caught:
        results.extend(in_workers(ends(how), range(9), 2))
    assert str(caught.value).startswith(f"a process that loads batches (workers) died: {says}")
    assert "\n" not in str(caught.value)
    assert results == [0, 1, 2]
    assert time.perf_counter() - started < 5
    assert not multiprocessing.active_children()


def test_a_worker_killed_between_two_batches_is_noticed():
    results = in_workers(squared, range(9), 1)
    next(results)
    for child in multiprocessing.active_children():
        os.kill(child.pid or 0, signal.SIGKILL)
    with pytest.raises(UserError, match="SIGKILL"):
        list(results)


def test_a_result_that_cannot_be_sent_ends_the_wait(capfd):
    """torch's DataLoader prints this from another thread, and waits for ever."""
    with pytest.raises(UserError, match="exit code 1, what it wrote stands above"):
        list(in_workers(lambda item: lambda: item, range(3), 2))
    assert "pickle" in capfd.readouterr().err


def raises(error: Exception) -> Callable[[int], int]:
    def function(_item: int) -> int:
        raise error

    return function


@pytest.mark.parametrize(
    "error",
    [MemoryError("no room"), RuntimeError("can't allocate memory"), ZeroDivisionError("a bug")],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_keeps_its_type_and_its_traceback(error):
    with pytest.raises(type(error), match=str(error)) as caught:
        list(in_workers(raises(error), range(3), 2))
    assert "in function" in caught.value.__notes__[0]


def test_processes_that_cannot_be_started_are_one_line():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)  # the lowest number that was free
    os.close(lowest)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        with pytest.raises(
            UserError, match=r"^workers: 2 processes .* \(Too many open files\); set workers: 0"
        ):
            next(in_workers(squared, range(3), 2))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not multiprocessing.active_children()


TWO_LOADERS = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
import numpy as np
from amad_bench.data.tasks.workers import in_workers
def read(item): return np.zeros(5_000_000, np.uint8)
training = in_workers(read, range(99), 2); next(training)
validation = in_workers(read, range(99), 2); next(validation)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_a_run_that_was_ended(by):
    """All processes hold the same pipe: it ends with the last of them."""
    run = subprocess.Popen(
        [sys.executable, "-c", TWO_LOADERS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"
    (os.killpg if by == signal.SIGINT else os.kill)(run.pid, by)  # Ctrl-C reaches the workers, too
    try:
        _, said = run.communicate(timeout=10)
    finally:
        if run.returncode is None:
            os.killpg(run.pid, signal.SIGKILL)
    assert said.count("Traceback") == (by == signal.SIGINT)  # of the run itself


SMALL_SHM = """
import os
import numpy as np
from amad_bench.data.tasks.workers import in_workers
assert os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize == 65536
def read(item): return np.full(30_000_000, item, np.uint8)
print(*[result[-1] for result in in_workers(read, range(4), 2)])
"""


def test_shared_memory_of_a_container_is_not_needed(tmp_path: Path):
    """Its own mounts, with 64 KiB in /dev/shm; DataLoader needs room there for every batch ahead."""
    if (
        not shutil.which("unshare")
        or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode
    ):
        pytest.skip("no mount namespace can be made here")
    (tmp_path / "small.py").write_text(SMALL_SHM)
    command = f"mount -t tmpfs -o size=64k tmpfs /dev/shm && exec '{sys.executable}' '{tmp_path}/small.py'"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("0 1 2 3\n", "")


class TwoArguments(Exception):
    """Pickles, and cannot be made again: its arguments are not those of its __init__."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def _raise_what_does_not_travel(item):
    raise TwoArguments(item, 2)


def _raise_what_cannot_be_pickled(item):
    error = ValueError("with a lambda")
    error.function = lambda: item  # pyright: ignore[reportAttributeAccessIssue]
    raise error


@pytest.mark.parametrize(
    ("function", "says"),
    [(_raise_what_does_not_travel, "1 and 2"), (_raise_what_cannot_be_pickled, "with a lambda")],
)
def test_an_exception_that_does_not_travel_arrives_as_its_traceback(function, says):
    with pytest.raises(RuntimeError, match=f"In a process that loads batches:(.|\n)*{says}"):
        list(in_workers(function, [1], 1))


def _sleep(item):
    time.sleep(item)
    return item


def test_a_process_that_hangs_is_not_waited_for_in_silence(monkeypatch, capsys):
    monkeypatch.setattr(workers, "PATIENCE", 0.05)
    assert list(in_workers(_sleep, [0.5], 1)) == [0.5]
    said = r"amad-bench: no answer from process (\d+), which loads batches, for 0.05 s; waiting on "
    assert re.fullmatch(said + r"\(`kill -9 \1` ends the run\)\n", capsys.readouterr().err)
