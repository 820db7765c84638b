"""Signals that end a process: at once, or when it has kept what it did."""

import os
import signal

import pytest

from amad_bench.runtime.interruption import Interrupted, deferred, interruptible


@pytest.fixture(autouse=True)
def _not_in_the_background():
    """A shell's background jobs ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def ends(*numbers: int, wait: bool = False, error: type[Exception] | None = None) -> list[int | None]:
    """Signals that come inside, and what is told of them when they wait."""
    told: list[int | None] = []
    with interruptible():
        if not wait:
            os.kill(os.getpid(), numbers[0])
            raise AssertionError
        with deferred() as asked:
            for number in numbers:
                told.append(asked())
                os.kill(os.getpid(), number)
            told.append(asked())
            if error is not None:
                raise error
            TOLD[:] = told
    return told


TOLD: list[int | None] = []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_what_is_inside(number, code):
    with pytest.raises(Interrupted) as caught:
        ends(number)
    assert caught.value.exit_code == code
    assert str(caught.value) == signal.Signals(number).name


def test_deferred_it_waits_and_is_told():
    with pytest.raises(Interrupted) as caught:
        ends(signal.SIGTERM, signal.SIGINT, wait=True)
    assert TOLD == [None, signal.SIGTERM, signal.SIGTERM]  # a second one changes nothing
    assert caught.value.number == signal.SIGTERM
    assert ends(wait=True) == [None]


def test_an_error_inside_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        ends(signal.SIGTERM, wait=True, error=ZeroDivisionError)
    assert ends(wait=True) == [None]


def test_what_a_shell_had_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible():
            os.kill(os.getpid(), signal.SIGINT)
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
