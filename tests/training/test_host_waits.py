"""Inside a training step the host never waits for the device, but where this file says why."""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from amad_bench.data.pretraining.data import load_pretraining
from amad_bench.data.tasks.data import TaskData
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.losses.kernels.choice import ENTRIES_AT_ONCE, OTHERS
from amad_bench.plan.catalogue import model_shape
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.training.course import Course
from amad_bench.training.distill import Objective
from amad_bench.training.loop import train
from amad_bench.training.pretraining import fresh_pretrainer, pretrain
from amad_bench.training.run import train_run
from amad_bench.training.run_model import fresh_model
from amad_bench.training.teacher_outputs import OnlineOutputs, TeacherTrace, teacher_trace
from tests.training.conftest import pick
from tests.training.host_waits import HostWaits
from tests.training.test_every_loss import IN_CHUNKS, LINES

# torch says that best weights are not put back into a model without values.
pytestmark = pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter:UserWarning")
# Where -> why. All else must not wait.
REASONS = {
    "amad_bench/losses/hungarian.py:assign": "an assignment is found by scipy, on the host",
}
LABELS = ["ce", "logit_kd", "amad_kl", *LINES]
FAMILIES = [("vlt5", "vqa"), ("vlt5", "translation"), ("blip", "vqa")]
META = torch.device("meta")


@pytest.fixture
def without_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch does not do on meta, and does on a GPU without a look at anything."""
    # the plain AdamW keeps its count of steps on the host
    adamw = partial(torch.optim.AdamW, foreach=False)
    monkeypatch.setattr(torch.optim, "AdamW", lambda groups, lr, eps, **_: adamw(groups, lr=lr, eps=eps))
    autocast, enabled = torch.autocast, torch.is_autocast_enabled
    monkeypatch.setattr(
        torch, "autocast", lambda kind, *a, **k: nullcontext() if kind == "meta" else autocast(kind, *a, **k)
    )
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind="cuda": kind != "meta" and enabled(kind))


@pytest.fixture
def ends_of_steps(monkeypatch: pytest.MonkeyPatch) -> list:
    """Functions that are called with the step's number at the end of each, after all that the loop notes."""
    called: list = []
    monkeypatch.setattr(Course, "after", lambda _self, step: [function(step) for function in called])
    return called


class BySteps:
    """What was waited for in each step, counted from 1."""

    def __init__(self, ends_of_steps: list) -> None:
        self.waits, self.found, self._seen = HostWaits(), dict[int, set[str]](), 0
        ends_of_steps[:] = [self._after]

    def _after(self, step: int) -> None:
        self.found[step] = set(self.waits.found[self._seen :])
        self._seen = len(self.waits.found)

    def require_none(self, quiet: Sequence[int], noisy: Sequence[int], but: Sequence[str] = ()) -> None:
        """noisy: steps that a validation and a line of the log follow, so that something must be seen."""
        assert sorted(self.found) == sorted({*quiet, *noisy})
        assert all(self.found[step] for step in noisy)
        assert {where for step in quiet for where in self.found[step]} - set(but) == set()


def objective_and_teacher(
    plan: Plan, run: Run, data: TaskData, device: torch.device
) -> tuple[Objective, TeacherTrace | None]:
    """A run's loss, and the outputs of an untrained teacher."""
    config, objective = run.config, Objective(run.config.loss, run.config.seeds.init)
    if not objective.needs_teacher:
        return objective, None
    assert config.teacher is not None
    assert config.teacher.run_id is not None
    source = plan.run(config.teacher.run_id).config
    shapes = [model_shape(c.family, c.task, c.model, sites=objective.sites) for c in (config, source)]
    objective.choose_layers(*shapes)
    teacher = fresh_model(source, data).to(device).requires_grad_(False)
    return objective, OnlineOutputs(teacher, objective).trace


def train_on_meta(plan: Plan, run: Run, ends_of_steps: list, log: Path) -> BySteps:
    data, by_steps = load_task_data(run.config), BySteps(ends_of_steps)
    objective, trace = objective_and_teacher(plan, run, data, META)
    model = fresh_model(run.config, data).to(META)
    with by_steps.waits:
        train(model, objective, data, run.config, META, log, "run", trace)
    return by_steps


@pytest.mark.usefixtures("without_values")
@pytest.mark.parametrize(("family", "task"), FAMILIES)
def test_no_step_waits(tiny_plan, tmp_path, ends_of_steps, family, task):
    plan = tiny_plan(more_losses=LINES["hungarian"])
    for label in ("ce", "amad_kl", "hungarian"):
        by_steps = train_on_meta(plan, pick(plan, family, task, label), ends_of_steps, tmp_path / "steps")
        by_steps.require_none(quiet=[2, 4, 5], noisy=[1, 3, 6], but=[*REASONS])


@pytest.mark.slow
@pytest.mark.usefixtures("without_values")
@pytest.mark.parametrize(("family", "task"), FAMILIES)
def test_no_step_of_any_loss_waits(tiny_plan, tmp_path, monkeypatch, ends_of_steps, family, task):
    """Nor with the maps of one sample at a time, the rows of which were drawn."""
    plan = tiny_plan(more_losses="".join(LINES.values()))
    whole = ENTRIES_AT_ONCE[OTHERS]
    for label in LABELS:
        monkeypatch.setitem(ENTRIES_AT_ONCE, OTHERS, 1 if label in IN_CHUNKS else whole)
        by_steps = train_on_meta(plan, pick(plan, family, task, label), ends_of_steps, tmp_path / "steps")
        by_steps.require_none(quiet=[2, 4, 5], noisy=[1, 3, 6], but=[*REASONS])


@pytest.mark.usefixtures("without_values")
@pytest.mark.parametrize(
    ("family", "condition", "momentum"),
    [("vlt5", "text", False), ("vlt5", "vl", False), ("blip", "text", False), ("blip", "vl", True)],
)
def test_no_step_of_a_pretraining_waits(tiny_plan, tmp_path, ends_of_steps, family, condition, momentum):
    plan = tiny_plan(condition=condition, momentum=momentum)
    run = next(run for run in plan.runs if run.kind == "pretrain" and run.config.family == family)
    data, by_steps = load_pretraining(run.config), BySteps(ends_of_steps)
    model = fresh_pretrainer(run.config, data).to(META)
    with by_steps.waits:
        pretrain(model, data, run.config, META, tmp_path / "steps", "run")
    by_steps.require_none(quiet=[3], noisy=[1, 2, 4], but=[*REASONS])


@pytest.mark.usefixtures("without_values")
def test_a_teachers_stored_outputs_are_not_waited_for(tiny_plan, tmp_path, ends_of_steps):
    plan = tiny_plan()
    run = pick(plan, "vlt5", "vqa", "amad_kl")
    train_run(plan.run(run.config.teacher.run_id), "cpu")
    data, objective = load_task_data(run.config), Objective(run.config.loss, 0)
    trace: Any = teacher_trace(run, data, objective, torch.device("cpu"))
    trace.__self__.device = META
    by_steps, model = BySteps(ends_of_steps), fresh_model(run.config, data).to(META)
    with by_steps.waits:
        train(model, objective, data, run.config, META, tmp_path / "steps", "run", trace)
    by_steps.require_none(quiet=[2, 4, 5], noisy=[1, 3, 6], but=[*REASONS])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("family", "task"), FAMILIES)
@pytest.mark.parametrize("label", ["ce", "amad_kl"])
def test_nor_does_torch_see_one_on_a_gpu(tiny_plan, tmp_path, ends_of_steps, family, task, label):
    """It raises at all that it knows to wait, in steps 2, 4 and 5: the first one makes constants."""
    plan, cuda = tiny_plan(), torch.device("cuda")
    run = pick(plan, family, task, label)
    data = load_task_data(run.config)
    objective, trace = objective_and_teacher(plan, run, data, cuda)
    model, see = fresh_model(run.config, data).to(cuda), torch.cuda.set_sync_debug_mode
    ends_of_steps.append(lambda step: see("error" if step in (1, 3, 4) else "default"))
    try:
        train(model, objective, data, run.config, cuda, tmp_path / "steps", "run", trace)
    finally:
        see("default")
