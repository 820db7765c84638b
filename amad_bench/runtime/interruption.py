"""SIGTERM and SIGINT (Ctrl-C, scancel, preemption): a run ends at once, or when it has kept what it did."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """One of SIGNALS asked for the end of this process."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """The one that shells give: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.number


class _Asked:
    """number: of the first signal that came; deferred: whether it waits for the end of `deferred`."""

    number: int | None = None
    deferred = False


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, SIGNALS raise Interrupted in the main thread, which must be the one that calls this.

    One that this process was started to ignore, as shells start jobs in the background, stays ignored.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    handled = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, _handle)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])
        _Asked.number = None


@contextmanager
def deferred() -> Iterator[Callable[[], int | None]]:
    """Inside, signals only leave their number, which the function that is given returns; None: no signal.

    Raises Interrupted at the end where one came. Who asks often enough can keep what was done before.
    """
    _Asked.deferred = True
    try:
        yield lambda: _Asked.number
    finally:
        _Asked.deferred = False
    if _Asked.number is not None:
        raise Interrupted(_Asked.number)


def _handle(number: int, _frame: FrameType | None) -> None:
    _Asked.number = _Asked.number or number
    if not _Asked.deferred:
        raise Interrupted(_Asked.number)
