"""Speeds of machines: of GPUs by a table, of this machine by its finished runs or by a shipped rate."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from amad_bench.plan.cost.run_cost import Costs, RunCost
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.results import RESULTS
from amad_bench.runtime.run_folder.status import Status

START_SECONDS = 8.0


@dataclass(frozen=True)
class Speed:
    """operations: a second, sustained; layer_seconds: that a layer's pass takes however small it is.

    START_SECONDS of each run are for imports, data and scores.
    """

    name: str
    operations: float
    layer_seconds: float

    def seconds(self, cost: RunCost) -> float:
        """Time of a run: of its operations or, where they are small, of starting them."""
        computed, started = cost.operations / self.operations, cost.layer_passes * self.layer_seconds
        return START_SECONDS + max(computed, started)


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU. fp32, bf16: operations a second as its maker states them, dense, in 10^12."""

    name: str
    fp32: float
    bf16: float

    @property
    def speeds(self) -> tuple[Speed, Speed]:
        return (
            Speed("fp32", FP32_SHARE * self.fp32 * 1e12, _LAUNCH),
            Speed("bf16", BF16_SHARE * self.bf16 * 1e12, _LAUNCH),
        )


# docs/engine.md: 35 to 40 of the 67 TFLOP/s of an H100 are sustained in fp32, 15 to 25 % of its peak in bf16
# without compilation (the same shares of an A100 are a guess); a student's step of 24 layers takes 58 ms on
# the CPU that starts it.
FP32_SHARE, BF16_SHARE = 0.55, 0.20
_LAUNCH = 58e-3 / (3 * 24)
GPUS = (Gpu("H100, H200", 67, 989), Gpu("A100", 19.5, 312))


def peak_rate(hardware: str, precision: str) -> float | None:
    """Operations a second that its maker states of a GPU, which names itself so; None: an unknown one."""
    for gpu in GPUS:
        if any(name in hardware for name in gpu.name.split(", ")):
            return 1e12 * (gpu.fp32 if precision == "fp32" else gpu.bf16)
    return None


# Measured: configs/default.yaml, its 55 runs in 16 minutes on two cores of an AMD EPYC, torch 2.13.
CPU_CORE = Speed("a shipped rate of one CPU core", 50e9, 0.2e-3)


@dataclass
class _Seen:
    operations: float = 0.0
    seconds: float = 0.0
    runs: int = 0


@dataclass
class ThisMachine:
    """Rates of a plan's finished runs, by how alike they are; CPU_CORE for what none of them is like.

    Other runs of the same family count, those of the same kind and task before others.
    """

    plan: Plan
    costs: Costs
    finished: dict[str, float] = field(default_factory=dict[str, float])  # seconds by run id
    _seen: dict[tuple[str, ...], _Seen] = field(default_factory=lambda: defaultdict(_Seen))

    def __post_init__(self) -> None:
        for run in self.plan.runs:
            cost, folder = self.costs.of(run.id), RESULTS.run(run.id)
            if cost is None or not folder.finished:
                continue
            try:
                status = Status.read(folder.status)
            except UserError:  # damaged: the run is left, see plan.standing
                continue
            if status.status == "done" and status.wall_seconds:
                self.finished[run.id] = status.wall_seconds
                for key in _likeness(run):
                    seen = self._seen[key]
                    seen.operations, seen.runs = seen.operations + cost.operations, seen.runs + 1
                    seen.seconds += status.wall_seconds

    def seconds(self, run: Run, cost: RunCost) -> tuple[float, bool]:
        """Time of a run, and whether it is known from finished ones."""
        if run.id in self.finished:
            return self.finished[run.id], True
        for key in _likeness(run):
            if seen := self._seen.get(key):
                return cost.operations * seen.seconds / seen.operations, True
        return CPU_CORE.seconds(cost), False


def _likeness(run: Run) -> Iterator[tuple[str, ...]]:
    """Names of what it is like, the closest first."""
    config = run.config
    yield config.family, config.task, run.kind
    yield config.family, config.task
    yield (config.family,)
