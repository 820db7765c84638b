"""Notes on a training, in its run's status and folder, however it ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from amad_bench.runtime.ranks import here
from amad_bench.runtime.run_folder.status import Status
from amad_bench.training.accumulation import MicroBatch
from amad_bench.training.course import Diverged
from amad_bench.training.optim import Trained


@contextmanager
def good_weights_kept(status: Status, keep: Callable[[], None]) -> Iterator[None]:
    """Keeps the best weights of a training inside that diverges."""
    try:
        yield
    except Diverged as failure:
        if failure.good_step and here().first:
            keep()
            status.best_step = failure.good_step
        raise


@contextmanager
def noted(micro: MicroBatch, status: Status) -> Iterator[None]:
    """Notes how many examples were computed at once in a training inside, however it ends."""
    try:
        yield
    finally:
        status.micro_batch, status.micro_batch_halved = micro.size, micro.halved


def note(trained: Trained, status: Status) -> None:
    """Notes a training's end."""
    status.train_seconds = trained.seconds
    status.add_seconds("training", trained.seconds - trained.validation_seconds)
    status.add_seconds("validation", trained.validation_seconds)
    status.steps, status.best_step = trained.steps, trained.best_step
    status.extra_params, status.continued = trained.extra_params, trained.continued
    status.micro_batch, status.micro_batch_halved = trained.micro_batch or None, trained.halved
    status.ranks = trained.ranks
