"""Trainings that torch.compile takes, and what it takes of the machine."""

import os
import shutil

from amad_bench.runtime.errors import UserError
from amad_bench.training.distill import Objective

# of C, for a GPU's kernels, or of C++, for a CPU's; torch looks for these
COMPILERS = ("CXX", "CC"), ("g++", "gcc", "clang++", "clang")


def compiles(run_id: str, objective: Objective, label: str) -> bool:
    """Whether a training that is to be compiled is; one that records attention says that it is not.

    label: of the loss. UserError without a compiler, on which torch would end after minutes in many lines.
    """
    if objective.records:
        print(f"{run_id}: not compiled, since {label} reads attention or states", flush=True)
        return False
    variables, names = COMPILERS
    if not any(map(shutil.which, [*(os.environ[name] for name in variables if name in os.environ), *names])):
        raise UserError(
            "compile: true takes a compiler of C and C++, and none is here; install g++ or set compile: false"
        )
    return True
