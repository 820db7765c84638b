"""What a thread makes ahead arrives in order, whole, and the thread ends with whoever uses it."""

import threading
import time
import traceback
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from amad_bench.data import prefetch
from amad_bench.data.placing import placed
from amad_bench.data.prefetch import THREAD, one_ahead, prefetched

CPU, META = torch.device("cpu"), torch.device("meta")


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == THREAD]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    assert not threads()
    yield
    assert not threads()


def test_all_items_in_order_each_made_while_the_one_before_is_used():
    made, used = [], []

    def numbers():
        for number in range(5):
            made.append((number, threading.current_thread().name))
            yield number

    for number in one_ahead(numbers()):
        deadline = time.monotonic() + 5
        while len(made) < min(number + 2, 5) and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.01)  # the thread would go on here if it did not wait
        assert len(made) == min(number + 2, 5)
        used.append(number)
    assert used == [0, 1, 2, 3, 4]
    assert {name for _, name in made} == {THREAD}


def broken():
    yield 1
    raise ZeroDivisionError("a bug")


def test_an_error_is_raised_where_the_items_are_used_with_its_traceback():
    items = one_ahead(broken())
    assert next(items) == 1
    with pytest.raises(ZeroDivisionError, match="a bug") as caught:
        next(items)
    assert "in broken" in "".join(traceback.format_exception(caught.value))
    assert not threads()


@pytest.mark.parametrize("how", [ValueError, KeyboardInterrupt, None])
def test_whatever_ends_the_training_ends_the_thread_and_what_it_runs(how):
    ended = []

    def endless():
        try:
            while True:
                yield 1
        finally:
            ended.append(threading.current_thread().name)

    items = one_ahead(endless())
    try:
        for _ in items:
            if how is not None:
                raise how
            break
    except (ValueError, KeyboardInterrupt):
        pass
    items.close()
    assert ended == [THREAD]


def test_what_the_thread_waits_for_is_released_first():
    """As a read in a worker that hangs: without it the end would be waited for until the patience ends."""
    released = threading.Event()

    def waits():
        yield 1
        released.wait(60)
        yield 2

    items = one_ahead(waits(), released.set)
    next(items)
    started = time.perf_counter()
    items.close()
    assert released.is_set()
    assert time.perf_counter() - started < 5


def test_a_thread_that_cannot_be_ended_is_left_behind(monkeypatch):
    monkeypatch.setattr(prefetch, "_SECONDS_TO_END", 0.01)
    free = threading.Event()

    def hangs():
        yield 1
        free.wait(60)

    items = one_ahead(hangs())
    next(items)
    items.close()
    (left,) = (thread for thread in threading.enumerate() if thread.name == THREAD)
    assert left.daemon  # the process ends without it
    free.set()
    left.join(5)


def test_on_a_cpu_nothing_is_made_ahead_and_there_is_no_thread():
    made = []
    items = prefetched(((made.append(i) or i, []) for i in range(3)), CPU)
    assert next(items) == 0
    assert made == [0]
    assert not threads()
    assert list(items) == [1, 2]


def test_elsewhere_a_thread_makes_them():
    items = prefetched(((threading.current_thread().name, []) for _ in range(2)), META)
    assert list(items) == [THREAD, THREAD]


class Stream:
    """Stands in for a CUDA stream; the names of those that are current, by thread."""

    now = threading.local()

    def __init__(self, name):
        self.name = name

    def record_event(self):
        return f"event of {self.name} by {threading.current_thread().name}"

    def wait_event(self, event):
        WAITED.append((self.name, event))

    def __enter__(self):
        Stream.now.name = self.name

    def __exit__(self, *_):
        Stream.now.name = None


WAITED: list[tuple[str, str]] = []


def test_on_cuda_copies_have_a_stream_of_their_own_that_the_training_waits_for(monkeypatch):
    """With stand-ins for streams: the thread fills one, the training's stream waits for its events."""
    kept = []
    monkeypatch.setattr(
        torch,
        "cuda",
        SimpleNamespace(
            Stream=lambda _device: Stream("copies"),
            stream=lambda stream: stream,
            current_stream=lambda _device: Stream("training"),
        ),
    )
    WAITED.clear()
    tensor: Any = SimpleNamespace(record_stream=lambda stream: kept.append(stream.name))
    made = ((getattr(Stream.now, "name", None), [tensor]) for _ in range(2))
    assert list(prefetched(made, torch.device("cuda"))) == ["copies", "copies"]
    assert [("training", f"event of copies by {THREAD}")] * 2 == WAITED
    assert kept == ["training"] * 2


def test_a_copy_to_cuda_starts_from_pinned_memory_and_is_not_waited_for(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: asked.append("pinned") or self)
    monkeypatch.setattr(torch.Tensor, "to", lambda _, *place, **how: asked.append((*map(str, place), how)))
    placed(torch.ones(2), "cuda:1")
    assert asked == ["pinned", ("cuda:1", {"non_blocking": True})]


def test_what_is_there_already_stays():
    tensor = torch.ones(2)
    assert placed(tensor, "cpu") is tensor
    assert placed(tensor, "meta").is_meta
