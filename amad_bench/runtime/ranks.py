"""Ranks: the processes, one per device of one machine, that train a run together; the first owns its files.

They are told who they are by torchrun's environment variables, whoever starts them (`runtime.launch`, or
torchrun itself). torch is imported within functions: planning does without.
"""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from amad_bench.runtime import gpus, locks
from amad_bench.runtime.errors import UserError

if TYPE_CHECKING:
    import torch

    from amad_bench.runtime.devices import Device

LISTENER = "AMAD_BENCH_LISTENER"  # rank 0's handle of the socket where ranks meet; others have it empty
LOCKS = "AMAD_BENCH_LOCKS"  # handles of the starter's locks, those of GPUs: they last as long as any rank
# Nobody waits for the dead: a connection breaks, or who started the ranks ends them. The first may have hours
# of work to do, as with a teacher's outputs, or wait for another run's lock.
PATIENCE = timedelta(days=7)

Value = TypeVar("Value")


class LostRank(Exception):
    """Another rank has ended, so that this one cannot go on."""


class FailedAlone(Exception):
    """This rank has ended the run, and its status says how; the others know nothing of it."""


@dataclass(frozen=True)
class Ranks:
    """The processes that train a run, as one of them sees them. rank: its number; world: how many there are.

    This class is a process alone. What is asked of all of them must be asked by all, in one order.
    """

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that owns the run's files."""
        return self.rank == 0

    @property
    def together(self) -> bool:
        """Whether they are connected, also where there is but one."""
        return False

    @property
    def own(self) -> slice:
        """This one's of the rows of a batch, or of a list of batches."""
        return slice(self.rank, None, self.world)

    def sent(self, value: Value) -> Value:
        """The first's value."""
        return value

    def gathered(self, value: Value) -> list[Value]:
        """The values of all, in order."""
        return [value]

    def largest(self, numbers: Sequence[int]) -> list[int]:
        """The largest that one of them has, of each number."""
        return list(numbers)

    def summed(self, tensor: "torch.Tensor") -> "torch.Tensor":
        """The sum over all, equal on all to the bit."""
        return tensor


ALONE = Ranks()
_here = ALONE


def here() -> Ranks:
    """The ranks that this process is one of, inside `joined`; else ALONE."""
    return _here


@dataclass(frozen=True)
class Connected(Ranks):
    """Ranks that are connected by torch.distributed: tensors by the device's own way, all else by `group`."""

    group: Any = None

    @property
    def together(self) -> bool:
        return True

    def sent(self, value: Value) -> Value:
        import torch.distributed as dist

        box = [value]
        with losing_ranks():
            dist.broadcast_object_list(box, src=0, group=self.group)
        return box[0]

    def gathered(self, value: Value) -> list[Value]:
        import torch.distributed as dist

        found: list[Any] = [None] * self.world
        with losing_ranks():
            dist.all_gather_object(found, value, group=self.group)
        return found

    def largest(self, numbers: Sequence[int]) -> list[int]:
        import torch
        import torch.distributed as dist

        tensor = torch.tensor(numbers)
        with losing_ranks():
            dist.all_reduce(tensor, op=dist.ReduceOp.MAX, group=self.group)
        return tensor.tolist()

    def summed(self, tensor: "torch.Tensor") -> "torch.Tensor":
        import torch.distributed as dist

        found = tensor.clone()
        with losing_ranks():
            dist.all_reduce(found)
        return found


def in_turns(by_rank: Sequence[Sequence[Value]]) -> list[Value]:
    """The results that ranks made in turns of a list, in the list's order."""
    count = max(map(len, by_rank))
    return [own[turn] for turn in range(count) for own in by_rank if turn < len(own)]


@contextmanager
def losing_ranks() -> Iterator[None]:
    """Inside, a connection that breaks is LostRank."""
    from torch.distributed import DistError

    try:
        yield
    except DistError as error:
        raise LostRank(str(error)) from error
    except RuntimeError as error:
        if "gloo" not in str(error):
            raise
        raise LostRank(str(error)) from error


def started() -> Ranks | None:
    """The ranks as this process was told by torchrun's variables; None where it was started alone.

    They are not connected yet. UserError for variables that make no sense, and for ranks on several machines.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    if not all(name in os.environ for name in names):
        return None
    try:
        rank, world, _, local = (int(os.environ[name]) for name in names[:4])
    except ValueError:
        raise UserError(f"{', '.join(names[:4])}: numbers were expected in these variables") from None
    if world != local:
        raise UserError(
            f"WORLD_SIZE: {world} ranks, of which {local} are on this machine; all of a run must be on one"
        )
    return Ranks(rank, world)


def launched() -> bool:
    """Whether this process is a rank that `runtime.launch` started."""
    return LISTENER in os.environ


def see_one_device(ranks: Ranks) -> None:
    """From now on this rank's GPU is the only one that it sees; call it before torch is imported.

    UserError where CUDA_VISIBLE_DEVICES names fewer GPUs than there are ranks.
    """
    if gpus.hidden():
        return
    visible = os.environ.get(gpus.VISIBLE)
    if visible is None:
        os.environ[gpus.VISIBLE] = str(ranks.rank)
        return
    names = [name.strip() for name in visible.split(",")]
    if len(names) < ranks.world:
        raise UserError(
            f"gpus_per_run: {ranks.world}, but {gpus.VISIBLE}={visible} names {len(names)}; lower it"
        )
    os.environ[gpus.VISIBLE] = names[ranks.rank]


def end_with_starter() -> None:
    """From now on this process ends as by SIGTERM when the one that started it is dead, kill -9 included.

    Until then it has the starter's locks, too. Only for ranks of `runtime.launch`, whose standard input
    nobody writes to.
    """
    if launched():
        locks.adopt(int(handle) for handle in os.environ.get(LOCKS, "").split())
        threading.Thread(target=_wait_for_the_end, daemon=True).start()


def _wait_for_the_end() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def joined(device: "Device") -> Iterator[Ranks]:
    """The ranks of this process, connected inside; ALONE where it was started alone.

    Blocks until all are there. UserError where they do not all use the same kind of device.
    """
    found = started()
    if found is None:
        yield ALONE
        return
    import torch.distributed as dist

    with losing_ranks():
        dist.init_process_group(device.collectives, timeout=PATIENCE, **_meeting(found))
        group = dist.new_group(backend="gloo", timeout=PATIENCE)  # what is on the CPU needs no device
    ranks = Connected(found.rank, found.world, group)
    used = ranks.gathered(device.name)
    if len(set(used)) > 1:
        raise UserError(
            f"gpus_per_run: {ranks.world} devices of one kind were expected, found {', '.join(used)}; "
            "lower gpus_per_run or set device"
        )
    global _here
    _here = ranks
    try:
        yield ranks
    finally:
        _here = ALONE
    # Not after an error: the others may be in the middle of something, and it would wait for them.
    dist.destroy_process_group()


def _meeting(ranks: Ranks) -> dict[str, Any]:
    """The place where ranks meet: the socket that their starter opened, or what torchrun's variables say."""
    if not launched():
        return {"init_method": "env://"}
    from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

    handle = int(os.environ[LISTENER]) if ranks.first else None
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(address, port, ranks.world, ranks.first, timeout=PATIENCE, master_listen_fd=handle)
    return {"store": store, "rank": ranks.rank, "world_size": ranks.world}
