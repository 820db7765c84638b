"""A function applied by other processes: one that dies ends the wait for it, one that hangs is spoken of.

Results come through sockets, written by the thread that made them. torch's DataLoader would put them into
/dev/shm, which is small in a container, by a thread whose errors nobody hears of.
"""

import atexit
import multiprocessing
import pickle
import signal
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from multiprocessing.connection import wait
from typing import Any, Generic, Self, TypeVar
from weakref import WeakSet

from amad_bench.runtime.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

PATIENCE = 60.0  # seconds
_SECONDS_TO_DIE = 5.0  # after SIGKILL; only a file system that hangs can hold a process for longer
_CAUSES = {
    signal.SIGKILL: "as when memory runs out; lower workers or training.batch, or allow it more memory",
    signal.SIGBUS: "as when a file is cut short while it is read, or a disk fails; check the data",
    signal.SIGSEGV: "a library that reads images crashed; set workers: 0, update Pillow and h5py",
}


_processes: "WeakSet[multiprocessing.Process]" = WeakSet()


@atexit.register
def _end_all() -> None:
    """multiprocessing would ask them by SIGTERM, and wait."""
    for process in _processes:
        process.kill()


def in_workers(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """Result of function(item) for each item, in order; each of the processes works on one item ahead.

    What the function raises is raised here, with the worker's traceback as a note. UserError when a process
    cannot be started or dies. The processes end with this iterator, and when this process dies.
    """
    with Workers(function, workers) as processes:
        yield from processes.results(items)


class Workers(Generic[Item, Result]):
    """The processes of `in_workers`, as a context manager that starts them in the thread that enters it."""

    def __init__(self, function: Callable[[Item], Result], workers: int) -> None:
        self._function, self._workers = function, workers
        self._started: list[_Worker] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            try:
                for _ in range(self._workers):
                    self._started.append(stack.enter_context(_Worker(self._function)))
            except OSError as error:
                raise UserError(
                    f"workers: {self._workers} processes that load batches cannot be started "
                    f"({error.strerror}); set workers: 0 or raise the machine's limits (ulimit -u, "
                    "ulimit -n, memory)"
                ) from None
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def kill(self) -> None:
        """End the processes, so that a thread that waits for one finds it dead."""
        for worker in self._started:
            worker.kill()

    def results(self, items: Iterable[Item]) -> Iterator[Result]:
        """See `in_workers`; once only."""
        idle, busy = deque(self._started), deque[_Worker]()
        for item in items:
            if idle:
                busy.append(idle.popleft())
                busy[-1].ask(item)
                continue
            worker = busy.popleft()
            result = worker.answer()
            worker.ask(item)  # before this process turns to the result
            busy.append(worker)
            yield result
        for worker in busy:
            yield worker.answer()


class _Worker:
    """A process that is asked and answers in turn, so that never both sides of its socket wait to write."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:  # this process keeps none of theirs: their death is then an end of file
            self._process = multiprocessing.Process(target=_serve, args=(function, theirs, ours), daemon=True)
            self._process.start()
            _processes.add(self._process)
            self._socket, self._file = ours, ours.makefile("rwb")  # the second keeps the first open

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._process.join(_SECONDS_TO_DIE)
        with suppress(OSError):  # what was not sent yet has no reader any more
            self._file.close()

    def kill(self) -> None:
        self._process.kill()

    def ask(self, item: Any) -> None:
        try:
            _send(item, self._file)
        except OSError:
            raise self._died() from None

    def answer(self) -> Any:
        """A process that hangs (in a read from a network, say) is waited for, but not in silence."""
        if not wait([self._socket], PATIENCE):
            print(
                f"amad-bench: no answer from process {self._process.pid}, which loads batches, for "
                f"{PATIENCE:g} s; waiting on (`kill -9 {self._process.pid}` ends the run)",
                file=sys.stderr,
                flush=True,
            )
        try:
            result, error = pickle.load(self._file)
        except (EOFError, OSError, pickle.UnpicklingError):  # none, or the first part of one
            raise self._died() from None
        if error is not None:
            raise error
        return result

    def _died(self) -> UserError:
        self._process.join(_SECONDS_TO_DIE)
        code = self._process.exitcode
        how, cause = f"exit code {code}", "what it wrote stands above; set workers: 0 to see more"
        if code is not None and code < 0:
            how = f"signal {-code}, {signal.Signals(-code).name}"
            cause = _CAUSES.get(signal.Signals(-code), "start again")
        return UserError(f"a process that loads batches (workers) died: {how}, {cause}")


def _serve(function: Callable[[Any], Any], theirs: socket.socket, ours: socket.socket) -> None:
    """A worker's life. `ours` is closed: the other process's death is then an end of file."""
    for asked in (signal.SIGINT, signal.SIGTERM):  # they reach all; the other process ends this one
        signal.signal(asked, signal.SIG_IGN)
    ours.close()
    with suppress(BrokenPipeError, ConnectionResetError), theirs.makefile("rwb") as file:
        while True:
            try:
                item = pickle.load(file)
            except (EOFError, pickle.UnpicklingError):
                return
            try:
                answer = function(item), None
            except UserError as error:
                answer = None, error
            except Exception as error:
                answer = None, _portable(error)
            _send(answer, file)


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note, or the traceback alone where it does not survive the way."""
    text = f"In a process that loads batches:\n{traceback.format_exc()}"
    try:
        error.add_note(text)
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(text)
    return error


def _send(value: Any, file: Any) -> None:
    pickle.dump(value, file, protocol=5)  # large arrays are not copied
    file.flush()
