"""The cost of a plan in a few lines."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from amad_bench.plan.cost.run_cost import Costs, RunCost
from amad_bench.plan.cost.speeds import BF16_SHARE, CPU_CORE, FP32_SHARE, GPUS, ThisMachine
from amad_bench.plan.overview import aligned
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run

_KINDS = {"pretrain": "pre-trainings", "teacher": "teachers", "student": "students"}


@dataclass
class _Sum:
    """Sums over some runs. hours: on this machine, then by GPU in fp32 and bf16."""

    runs: int = 0
    operations: float = 0.0
    weights: float = 0.0
    hours: list[float] = field(default_factory=lambda: [0.0] * (1 + 2 * len(GPUS)))

    def add(self, cost: RunCost, seconds: Sequence[float]) -> None:
        self.runs += 1
        self.operations += cost.operations
        self.weights += cost.weights
        self.hours = [hours + own / 3600 for hours, own in zip(self.hours, seconds, strict=True)]

    def row(self, name: str) -> list[str]:
        here, *gpus = (_number(hours) for hours in self.hours)
        pairs = [f"{gpus[number]} / {gpus[number + 1]}" for number in range(0, len(gpus), 2)]
        return [name, str(self.runs), _unit(self.operations, "FLOP"), here, *pairs, _unit(self.weights, "B")]


def cost_report(plan: Plan) -> str:
    """Operations, hours on this machine and on a GPU of several kinds, disk; "" where nothing is known."""
    costs = Costs(plan)
    known = [(run, cost) for run in plan.runs if (cost := costs.of(run.id)) is not None]
    if not known:
        return ""
    machine = ThisMachine(plan, costs)
    sums = {kind: _Sum() for kind in _KINDS} | {"all": _Sum()}
    measured = 0
    for run, cost in known:
        here, by_runs = machine.seconds(run, cost)
        measured += by_runs
        seconds = [here, *(speed.seconds(cost) for gpu in GPUS for speed in gpu.speeds)]
        for key in (run.kind, "all"):
            sums[key].add(cost, seconds)
    gpus = [f"{gpu.name}: fp32 / bf16" for gpu in GPUS]
    rows = [["cost", "runs", "operations", "hours here", *gpus, "weights"]]
    rows += [sums[kind].row(name) for kind, name in _KINDS.items() if sums[kind].runs]
    rows.append(sums["all"].row("all"))
    return "\n".join(["", *aligned(rows), *_remarks(plan, known, measured, machine)])


def _remarks(
    plan: Plan, known: Sequence[tuple[Run, RunCost]], measured: int, machine: ThisMachine
) -> list[str]:
    costs = [cost for _, cost in known]
    total = sum(cost.operations for cost in costs)
    parts = {
        "training": sum(cost.training for cost in costs),
        "teachers' passes": sum(cost.teacher for cost in costs),
        "validation": sum(cost.validation for cost in costs),
        "predictions": sum(cost.predicting for cost in costs),
    }
    shares = ", ".join(f"{name} {share / total:.0%}" for name, share in parts.items() if share)
    files, largest = sum(cost.files for cost in costs), max(cost.checkpoint for cost in costs)
    shipped = len(known) - measured
    speeds = [f"{measured} by {len(machine.finished)} finished runs" if measured else ""]
    speeds.append(f"{shipped} by {CPU_CORE.name}" if shipped else "")
    outputs = machine.costs.outputs_bytes()
    lines = [
        f"operations: {shares}",
        f"hours here: one run at a time, {' and '.join(filter(None, speeds))}",
        f"hours on GPUs: one of them, {_percents()}",
        f"disk: weights {_unit(sum(cost.weights for cost in costs), 'B')}, teachers' outputs "
        f"{_unit(outputs, 'B')}, all else {_unit(files, 'B')}; while a run trains, up to "
        f"{_unit(largest, 'B')} for each of two checkpoints",
    ]
    if guessed := sum(not cost.measured for cost in costs):
        lines.append(f"{guessed} runs: lengths and numbers of examples are estimated until data are prepared")
    if unknown := len(plan.runs) - len(known):
        lines.append(f"{unknown} runs are of families whose records have no `cost`, and are not counted")
    return lines


def _percents() -> str:
    return (
        f"at {FP32_SHARE:.0%} of the maker's fp32 rate and {BF16_SHARE:.0%} of its bf16 rate (docs/engine.md)"
    )


def _number(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.1f}" if hours >= 1 else f"{max(hours, 0.01):.2f}"


def _unit(value: float, unit: str) -> str:
    for factor, prefix in ((1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value / 1e3:.3g} k{unit}"
