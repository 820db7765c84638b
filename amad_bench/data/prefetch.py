"""Batches made one ahead: by a thread of its own, on CUDA copied in a stream of its own.

On a CPU they are made when they are asked for: there a thread would take its time from the step it helps.
"""

from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, closing, nullcontext
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")
Made = Generator[Item, None, None]
_Answer = tuple[Item] | BaseException | None  # None: there is no more

THREAD = "amad-batches"
_SECONDS_TO_END = 5.0  # of the thread; only a read from a file system that hangs can hold it for longer


def prefetched(
    made: Made[tuple[Item, Iterable[Tensor]]],
    device: torch.device,
    release: Callable[[], None] = lambda: None,
) -> Made[Item]:
    """The items that a generator makes, each with its tensors on `device`, in order.

    Where `helps` says so, the generator runs in another thread, one item ahead. What it raises is raised
    here, with its traceback. It ends with this one; `release`, called first, ends what it may wait for.
    """
    if not helps(device):
        with closing(made):
            for item, _ in made:
                yield item
        return
    lane = _Lane(device)
    with closing(one_ahead(lane.filled(made), release)) as ahead:
        for item, tensors, done in ahead:
            lane.take(tensors, done)
            yield item


def helps(device: torch.device) -> bool:
    """Whether a step on the device leaves time to this process, in which another thread can work."""
    return device.type != "cpu"


def one_ahead(made: Made[Item], release: Callable[[], None] = lambda: None) -> Made[Item]:
    """The generator's items, the next one made by a thread while one is used; see `prefetched`."""
    asked: SimpleQueue[bool] = SimpleQueue()
    answers: SimpleQueue[_Answer[Item]] = SimpleQueue()
    thread = Thread(target=_make, args=(made, asked, answers), name=THREAD, daemon=True)
    thread.start()
    try:
        asked.put(True)
        while (answer := answers.get()) is not None:
            if isinstance(answer, BaseException):
                raise answer
            asked.put(True)
            yield answer[0]
    finally:
        asked.put(False)
        release()
        thread.join(_SECONDS_TO_END)


def _make(made: Made[Item], asked: "SimpleQueue[bool]", answers: "SimpleQueue[_Answer[Item]]") -> None:
    """The thread's life: an item each time that it is asked."""
    with closing(made):
        while asked.get():
            try:
                answer = (next(made),)
            except StopIteration:
                answer = None
            except BaseException as error:  # whatever it is, the training is told, not this thread
                answer = error
            answers.put(answer)


class _Lane:
    """The way of tensors onto a device that another thread works on, too; on CUDA a stream of its own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def filled(self, made: Made[tuple[Item, Iterable[Tensor]]]) -> Made[tuple[Item, Iterable[Tensor], Any]]:
        """Each item, with the event after which its tensors are there."""
        with closing(made):
            while True:
                # not around the whole loop: the current stream is the thread's, and this is a generator
                with self._current():
                    found = next(made, None)
                    if found is None:
                        return
                    done = None if self._stream is None else self._stream.record_event()
                item, tensors = found
                yield item, tensors, done

    def take(self, tensors: Iterable[Tensor], done: Any) -> None:
        """From now on the calling thread's stream may use the tensors; the host does not wait for them."""
        if done is None:
            return
        stream = torch.cuda.current_stream(self._device)
        stream.wait_event(done)
        for tensor in tensors:
            tensor.record_stream(stream)  # their memory is not given away before this stream is done with it

    def _current(self) -> AbstractContextManager[object]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)
