"""Starts the ranks of a run and watches them: signals reach all of them, the end of one is the end of all.

What torchrun does for one machine, by the same environment variables, but: signals are passed on and waited
for, however long a checkpoint takes; a command's exit code stays what it is; the port is open before anybody
is told of it; and this process does without torch.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from amad_bench.runtime import locks
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.interruption import deferred
from amad_bench.runtime.ranks import LISTENER, LOCKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAILED_ALONE = 3  # exit code of a rank that has ended the run while the others know nothing of it
GRACE = 10.0  # seconds that the others have to end by themselves once one has failed
_LOOK_EVERY = 0.1  # seconds
_COMMAND = "from amad_bench.cli.rank import main; main()"


def launch(arguments: Sequence[str], world: int) -> int:
    """Runs `amad-bench ARGUMENTS` as so many ranks to their end; its exit code.

    0: all have ended well; FAILED_ALONE: see there; else that of the rank that failed, 1 where it was killed,
    which is said on stderr. Raises Interrupted where a signal came, once all have ended. UserError where they
    cannot be started.
    """
    command = [sys.executable, "-c", _COMMAND, *arguments]
    with deferred() as asked, _ranks(command, world) as processes:
        _wait(processes, asked)
        codes = [process.returncode for process in processes]  # None: it will have to be killed
    if FAILED_ALONE in codes:
        return FAILED_ALONE
    failed = [rank for rank, code in enumerate(codes) if code]
    if not failed:
        return 0
    # A rank that has lost another one fails, too, and may be seen first.
    rank = min(failed, key=lambda rank: _blame(codes[rank]))
    code = codes[rank]
    if code > 0:
        return code
    print(
        f"amad-bench: rank {rank} of {world} was ended by {signal.Signals(-code).name}, and with it the "
        "others; the same command goes on",
        file=sys.stderr,
        flush=True,
    )
    return 1


def _blame(code: int) -> int:
    """The lower, the more an exit code says: killed, a mistake of the user, anything else."""
    return 0 if code < 0 else 1 if code == 2 else 2


def _wait(processes: "Sequence[subprocess.Popen[bytes]]", asked: "Callable[[], int | None]") -> None:
    passed_on, deadline = False, None
    while running := [process for process in processes if process.poll() is None]:
        number = asked()
        if number is not None and not passed_on:
            passed_on = True
            for process in running:
                process.send_signal(number)
        if deadline is None and any(process.returncode for process in processes):
            deadline = time.monotonic() + GRACE
        if deadline is not None and time.monotonic() > deadline:
            return
        time.sleep(_LOOK_EVERY)


@contextmanager
def _ranks(command: Sequence[str], world: int) -> "Iterator[list[subprocess.Popen[bytes]]]":
    """The processes, in the order of their ranks; those that are left are killed at the end."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=world))
        processes: list[subprocess.Popen[bytes]] = []
        stack.callback(_end, processes)
        for rank in range(world):
            handle, kept = listener.fileno() if rank == 0 else None, locks.own()
            variables = {
                "RANK": rank,
                "LOCAL_RANK": rank,
                "WORLD_SIZE": world,
                "LOCAL_WORLD_SIZE": world,
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": listener.getsockname()[1],
                LISTENER: "" if handle is None else handle,
                LOCKS: " ".join(map(str, kept)),
            }
            try:
                # In a group of its own, so that a terminal's Ctrl-C comes once, from here. Its standard input
                # ends when this process does.
                processes.append(
                    subprocess.Popen(
                        command,
                        env={**_local(), **os.environ, **{name: str(v) for name, v in variables.items()}},
                        stdin=subprocess.PIPE,
                        pass_fds=kept if handle is None else [handle, *kept],
                        process_group=0,
                    )
                )
            except OSError as error:
                raise UserError(
                    f"gpus_per_run: {world} processes cannot be started ({error.strerror}); lower it or "
                    "raise the machine's limits (ulimit -u, ulimit -n, memory)"
                ) from None
        listener.close()  # the first has it
        yield processes


def _local() -> dict[str, str]:
    """Ranks of one machine need no network: gloo would look for the address of the host's name."""
    return {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}


def _end(processes: "Sequence[subprocess.Popen[bytes]]") -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
