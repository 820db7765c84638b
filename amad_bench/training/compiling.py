"""Trainings that torch.compile takes."""

import torch

from amad_bench.runtime.compiler import require_compiler
from amad_bench.training.distill import Objective


def compiles(run_id: str, objective: Objective, label: str, device: torch.device) -> bool:
    """Whether a training that is to be compiled is; one that records attention says that it is not.

    label: of the loss. UserError without a compiler, on which torch would end after minutes in many lines.
    """
    if objective.records:
        print(f"{run_id}: not compiled, since {label} reads attention or states", flush=True)
        return False
    require_compiler(device.type)
    return True
