"""Signals that end a process: at once, or when it has kept what it did."""

import os
import signal

import pytest

from amad_bench.runtime.interruption import Interrupted, deferred, interruptible


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_what_is_inside(number, code):
    with pytest.raises(Interrupted) as caught, interruptible():
        os.kill(os.getpid(), number)
        raise AssertionError
    assert caught.value.exit_code == code
    assert str(caught.value) == signal.Signals(number).name


def test_deferred_it_waits_and_is_told():
    done = []
    with pytest.raises(Interrupted) as caught, interruptible(), deferred() as asked:
        assert asked() is None
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)  # a second one changes nothing
        done.append(asked())
    assert done == [signal.SIGTERM]
    assert caught.value.number == signal.SIGTERM
    with interruptible(), deferred() as asked:
        assert asked() is None


def test_an_error_inside_is_not_hidden():
    with pytest.raises(ZeroDivisionError), interruptible(), deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        1 / 0  # noqa: B018
    with interruptible(), deferred():
        pass


def test_what_a_shell_had_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible():
            os.kill(os.getpid(), signal.SIGINT)
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
