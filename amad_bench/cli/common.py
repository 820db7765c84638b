"""Helpers of several commands."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from amad_bench.runtime import devices, gpus
from amad_bench.runtime.slots import WHOLE, Part, taken

if TYPE_CHECKING:
    from amad_bench.plan.config.schema import Config
    from amad_bench.plan.plan import Plan


def planned(options: argparse.Namespace) -> "Plan":
    """The plan of `--config`."""
    from amad_bench.plan.config.load import load_config
    from amad_bench.plan.grid import expand

    return expand(load_config(options.config))


@contextmanager
def on_device(asked: str, part: Part = WHOLE, number: int = 1) -> Iterator[None]:
    """Inside, the process has its place on a GPU, where `asked`, a config's `device`, means one; see `taken`.

    number: of GPUs; of several each is taken whole. On the CPU it sees no GPU at all. To be entered before
    torch is imported.
    """
    if asked == devices.CPU.name:
        with gpus.unseen():
            yield
    elif asked in (devices.AUTO, devices.CUDA.name):
        with taken(number, part):
            yield
    else:
        yield


def part_of_gpu(config: "Config", run_id: str) -> Part:
    """The part of a GPU that a run of the config takes."""
    if not gpus.present():  # nobody asks: the plan of a large config takes a while
        return WHOLE
    from amad_bench.plan.gpu_slots import parts_of_gpus
    from amad_bench.plan.grid import expand

    return parts_of_gpus(expand(config), config)[run_id]
