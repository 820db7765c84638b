"""`amad-bench run` on several devices: the command that starts the ranks, and each of them."""

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, redirect_stdout

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.interruption import Interrupted
from amad_bench.runtime.launch import FAILED_ALONE, launch
from amad_bench.runtime.ranks import (
    FailedAlone,
    LostRank,
    Ranks,
    end_with_starter,
    launched,
    see_one_device,
)
from amad_bench.runtime.run_folder.folder import RunFolder
from amad_bench.runtime.run_folder.status import Status


def by_ranks(options: argparse.Namespace, folder: RunFolder, devices: int) -> str | int:
    """Trains a run on so many devices: its status, or the exit code of a failure that has been said.

    options: of this command. Raises Interrupted.
    """
    arguments = ["run", "--config", str(options.config), "--run", options.run]
    if options.device:
        arguments += ["--device", options.device]
    code = launch(arguments, devices)
    if code == FAILED_ALONE:  # what the first would have done
        folder.live.unlink(missing_ok=True)
        folder.forget_checkpoints()
    elif code:
        return code
    return Status.read(folder.status).status


def require_ranks(ranks: Ranks, devices: int) -> None:
    """UserError unless there are as many ranks as devices that the run is trained on."""
    if ranks.world != devices:
        raise UserError(
            f"WORLD_SIZE: started as one of {ranks.world} processes, but this run is trained on {devices} "
            "device(s) (gpus_per_run; a pre-training on one); start as many, or without torchrun"
        )


def as_rank(ranks: Ranks, train: Callable[[], str]) -> str | int:
    """Trains a run as one of several processes: its status, or the exit code of a failure.

    Only the first says what it does. Before torch is imported.
    """
    end_with_starter()
    see_one_device(ranks)
    with ExitStack() as stack:
        if not ranks.first:
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(redirect_stdout(nowhere))
        try:
            status = train()
        except FailedAlone:
            return FAILED_ALONE
        except LostRank:
            print(f"amad-bench: rank {ranks.rank} ends, since another one has", file=sys.stderr, flush=True)
            return 1
        except Interrupted as signal:
            if ranks.first and not launched():
                raise
            return signal.exit_code  # who started it says so
    return status if ranks.first else 0
