"""Trainings of one of two ranks, plain and compiled. Started by test_compiled_ranks.py, with a folder."""

import sys
from functools import partial, partialmethod
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from amad_bench.models.weights import own_tensors
from amad_bench.plan.catalogue import model_shape
from amad_bench.plan.run import Run
from amad_bench.runtime.devices import CPU
from amad_bench.runtime.ranks import joined
from amad_bench.training import loop
from amad_bench.training.accumulation import MicroBatch
from amad_bench.training.distill import Objective
from amad_bench.training.run_model import started_model
from amad_bench.training.teacher_outputs import OnlineOutputs
from tests.training.rank_battery import BATCH, DEVICE, STEPS, cases

CASES = [("vlt5", "vqa", "amad_kl"), ("blip", "vqa", "hidden_mse")]
BUCKET_BYTES = 2000  # so that gradients travel in many buckets, at each of which torch cuts a compiled graph


def trained(student: Run, teacher: Run, data: Any, log: Path, compiled: bool) -> torch.Tensor:
    """The weights, one after the other."""
    training = student.config.training.model_copy(update={"batch": BATCH, "steps": STEPS, "evaluations": 1})
    config, objective = (
        student.config.model_copy(update={"training": training}),
        Objective(student.config.loss),
    )
    model, taught = (started_model(run, data).model for run in (student, teacher))
    shapes = (model_shape(c.family, c.task, c.model, sites=objective.sites) for c in (config, teacher.config))
    objective.choose_layers(*shapes)
    trace = OnlineOutputs(taught.requires_grad_(False), objective, compiled=compiled).trace
    micro = MicroBatch(None, 4, may_halve=False)
    loop.train(*(model, objective, data, config, DEVICE, log, "", trace), micro=micro, compiled=compiled)
    tensors = [*own_tensors(model).values(), *own_tensors(objective).values()]
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    dist._DEFAULT_FIRST_BUCKET_BYTES = BUCKET_BYTES  # pyright: ignore[reportPrivateImportUsage]
    plain = DistributedDataParallel.__init__
    DistributedDataParallel.__init__ = partialmethod(plain, bucket_cap_mb=BUCKET_BYTES / 2**20)  # pyright: ignore[reportAttributeAccessIssue]
    torch.compile = partial(torch.compile, backend="eager")  # graphs are made, and run as they are
    with joined(CPU) as ranks:
        found = {
            (family, task, label, compiled): trained(
                student, teacher, data, folder / f"{ranks.rank}-{label}-{compiled}.jsonl", compiled
            )
            for family, task, label, data, teacher, student in cases(folder)
            if (family, task, label) in CASES
            for compiled in (False, True)
        }
        torch.save(found, folder / f"{ranks.rank}.pt")
