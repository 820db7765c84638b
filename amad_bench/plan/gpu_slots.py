"""Slots on GPUs as the scheduler counts them, and the part of a GPU that a run takes."""

from dataclasses import dataclass, field

from amad_bench.plan.config.schema import Config
from amad_bench.plan.cost.gpu_room import MOST, runs_per_gpu
from amad_bench.plan.cost.run_cost import Costs
from amad_bench.plan.devices import devices_asked
from amad_bench.plan.plan import Plan
from amad_bench.runtime import devices
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.slots import WHOLE, Part


@dataclass(frozen=True)
class GpuSlots:
    """total: of this machine, 0 where nothing is to be limited. whole: of one GPU. by_run: those it takes."""

    total: int = 0
    whole: int = 0
    by_run: dict[str, int] = field(default_factory=dict[str, int])

    def of(self, run_id: str) -> int:
        """Number of slots that a run takes."""
        return self.by_run.get(run_id, 0)


def gpu_slots(plan: Plan, config: Config, *, local: bool) -> GpuSlots:
    """The slots of a plan's runs: GPUs of this machine times the most runs that one has room for.

    A larger run takes several slots. Where jobs go to other machines (not `local`) a slot is a whole GPU, and
    neither their number nor whether there are any is known here: only `device: cpu` says that there are none.
    UserError: CUDA_VISIBLE_DEVICES names no GPU of this machine, or fewer than a run takes.
    """
    asked = {run.id: devices_asked(run, config.gpus_per_run) for run in plan.runs}
    if not local:
        each = int(config.device != devices.CPU.name)
        return GpuSlots(0, each, {run_id: each * count for run_id, count in asked.items()})
    number = devices.count(config.device)
    if number == 0:
        return GpuSlots()
    if max(asked.values()) > number:
        raise UserError(
            f"gpus_per_run: {config.gpus_per_run}, but {number} can be used here (CUDA_VISIBLE_DEVICES, "
            "`nvidia-smi -L`); lower it"
        )
    parts = parts_of_gpus(plan, config)
    most = max(part.runs for part in parts.values())
    by_run = {run_id: asked[run_id] * most // part.runs for run_id, part in parts.items()}
    return GpuSlots(number * most, most, by_run)


def parts_of_gpus(plan: Plan, config: Config) -> dict[str, Part]:
    """The part of a GPU that each run takes: by the config's `runs_per_gpu` or, where it is auto, by size.

    Of several GPUs each is taken whole.
    """
    whole = {run.id: WHOLE for run in plan.runs if devices_asked(run, config.gpus_per_run) > 1}
    others = [run for run in plan.runs if run.id not in whole]
    if config.runs_per_gpu != "auto":
        return whole | {run.id: Part(1, config.runs_per_gpu) for run in others}
    costs, parts = Costs(plan), whole
    for run in others:
        taught = run.config.teacher
        teacher = None if taught is None or taught.run_id is None else plan.by_id[taught.run_id].config
        parts[run.id] = Part(MOST // runs_per_gpu(run.config, teacher, costs.facts(run.config)), MOST)
    return parts
