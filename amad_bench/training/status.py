"""How a run ended: done, or one of the scientific failures; everything else is a bug and passes through."""

import resource
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from amad_bench.runtime.errors import RunFailed


class RunStatus:
    """status.json in the making."""

    def __init__(self, facts: dict[str, Any] | None = None):
        self.started = time.perf_counter()
        self.facts: dict[str, Any] = facts or {
            "status": "done",
            "reason": "",
            "wall_seconds": 0.0,
            "train_seconds": 0.0,
            "peak_memory_mib": 0.0,
            "parameters": 0,
            "extra_params": 0,
            "flops_per_example": 0,
            "head_map": {},
            "start_weights": {},
            "steps": 0,
            "best_step": 0,
            "signatures": {},
            "log_tail": [],
        }

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Inside, a scientific failure becomes the status; anything else passes through."""
        try:
            yield
        except RunFailed as failure:
            self._fail(failure.status, failure.reason)
        except (torch.OutOfMemoryError, MemoryError) as error:
            self._fail("out_of_memory", str(error) or "no memory is left")
        except RuntimeError as error:
            if "can't allocate memory" not in str(error):  # how PyTorch says it on a CPU
                raise
            self._fail("out_of_memory", str(error))

    def _fail(self, status: str, reason: str) -> None:
        tail = traceback.format_exc().splitlines()[-5:]
        self.facts |= {"status": status, "reason": " ".join(reason.split())[:500], "log_tail": tail}


def peak_memory_mib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
