"""Runs in bf16, and steps that a GPU can repeat bit for bit: what can be said of them without a GPU."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from amad_bench.analysis.collect import collect
from amad_bench.analysis.settings import settings
from amad_bench.data.tasks.batches import make_batch
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.models.attention.recorder import record
from amad_bench.plan.catalogue import model_shape
from amad_bench.plan.plan import Plan
from amad_bench.runtime.files import read_json
from amad_bench.runtime.precision import forward_pass
from amad_bench.training.distill import Objective
from amad_bench.training.run import train_run
from amad_bench.training.run_model import fresh_model
from amad_bench.training.step import TrainStep
from amad_bench.training.teacher_outputs import OnlineOutputs
from tests.training.conftest import pick, run_dir
from tests.training.test_every_loss import LINES

CPU = torch.device("cpu")
# torch 2.13's documentation of use_deterministic_algorithms: these raise on CUDA then
RAISING = {
    *("nll_loss2d_forward", "_ctc_loss", "_embedding_bag_backward", "grid_sampler_2d_backward"),
    *("_adaptive_avg_pool2d_backward", "adaptive_max_pool2d_backward", "avg_pool3d_backward"),
    *("max_pool3d_with_indices_backward", "fractional_max_pool2d_backward", "max_unpool2d"),
    *("upsample_linear1d_backward", "upsample_bilinear2d_backward", "upsample_bicubic2d_backward"),
    *("reflection_pad1d_backward", "reflection_pad2d_backward", "replication_pad2d_backward"),
    *("put_", "histc", "kthvalue", "median", "bincount"),
}


class Operations(TorchDispatchMode):
    """Names of the operations that run inside."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


class Steps:
    """A run's step, with fresh models and its teacher beside it."""

    def __init__(self, plan, run, precision="fp32"):
        self.config, self.data = run.config, load_task_data(run.config)
        self.objective, self.trace = Objective(run.config.loss, run.config.seeds.init), None
        if self.objective.needs_teacher:
            source = plan.run(run.config.teacher.run_id).config
            both, sites = (run.config, source), self.objective.sites
            self.objective.choose_layers(*(model_shape(c.family, c.task, c.model, sites=sites) for c in both))
            teacher = fresh_model(source, self.data).requires_grad_(False)
            self.trace = OnlineOutputs(teacher, self.objective, precision).trace
        self.model = fresh_model(run.config, self.data).train()
        self.rows = np.arange(8)
        self.batch = make_batch(self.data.train, self.data.images, self.rows, CPU)
        self.precision = precision

    def value_and_gradients(self):
        torch.manual_seed(0)
        objective = self.objective
        with objective.record_student(self.model) as recorder:
            step = TrainStep(self.model, objective, recorder, self.trace, self.precision)
            value = step(self.rows, self.batch, 1)
        for parameter in step.parameters():
            parameter.grad = None
        value.total.backward()
        return value, [p.grad.clone() for p in step.parameters() if p.grad is not None]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["vlt5", "blip"])
def test_steps_with_every_loss_use_nothing_that_cannot_be_repeated(tiny_plan, family):
    plan = tiny_plan(more_losses="".join(LINES.values()))
    torch.use_deterministic_algorithms(True)
    for label in ["ce", "logit_kd", "amad_kl", *LINES]:
        steps = Steps(plan, pick(plan, family, "vqa", label))
        with Operations() as operations:
            _, gradients = steps.value_and_gradients()
        assert "_log_softmax" in operations.names  # this test sees operations
        assert operations.names & RAISING == set(), label
        _, again = steps.value_and_gradients()
        assert all(torch.equal(*pair) for pair in zip(gradients, again, strict=True)), label


@pytest.mark.parametrize("family", ["vlt5", "blip"])
def test_losses_in_bf16_are_computed_in_float32(tiny_plan, family):
    """bf16 rounds to 8 bits: each of the products that a logit goes through errs by 2^-8 at most, and by
    chance in either direction. A cross-entropy moves by no more than twice what a logit does."""
    plan = tiny_plan()
    run = pick(plan, family, "vqa", "amad_kl")
    exact, rounded = (Steps(plan, run, precision) for precision in ("fp32", "bf16"))
    exact.model.eval(), rounded.model.eval()  # other dropout masks would hide it
    (value, gradients), (other, others) = exact.value_and_gradients(), rounded.value_and_gradients()
    for name, part in other.parts.items():
        assert part.dtype == torch.float32, name
    assert all(gradient.dtype == torch.float32 for gradient in others)
    assert other.total.item() != value.total.item()
    products = 24  # the longest way: two layers of an encoder and a decoder, six products each, none halved
    with record(exact.model, exact.objective.sites) as recorder, torch.no_grad():
        logits = recorder.trace(
            exact.model(**exact.batch.inputs, labels=exact.batch.labels_BL), exact.batch.labels_BL
        ).logits_BLV
    bound = 2 * products**0.5 * 2**-8 * logits.abs().max().item()
    assert abs(other.parts["ce"].item() - value.parts["ce"].item()) < bound
    cosine = torch.nn.functional.cosine_similarity(
        torch.cat([g.flatten() for g in gradients]), torch.cat([g.flatten() for g in others]), dim=0
    )
    assert 0.99 < cosine < 1 - 1e-7


def test_maps_of_bf16_queries_and_keys_are_float32(tiny_plan):
    plan = tiny_plan()
    steps = Steps(plan, pick(plan, "blip", "vqa", "amad_kl"))
    steps.model.eval()
    with record(steps.model, ["vision.self"]) as recorder, torch.no_grad(), forward_pass("bf16", CPU):
        output = steps.model(**steps.batch.inputs, labels=steps.batch.labels_BL)
        layer = recorder.trace(output, steps.batch.labels_BL).sites["vision.self"][0]
        probs_BHQK = layer.probs_BHQK()
    assert layer.query_BHQD.dtype == layer.key_BJKD.dtype == output.logits.dtype == torch.bfloat16
    scores_BHQK = layer.query_BHQD.double() @ layer.key_BJKD.double().mT * layer.scale
    torch.testing.assert_close(probs_BHQK.double(), scores_BHQK.softmax(-1), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("family", "task"), [("vlt5", "vqa"), ("blip", "vqa")])
def test_a_run_in_bf16_is_another_run(tiny_plan, tmp_path, family, task):
    plans = {precision: tiny_plan(precision=precision) for precision in ("fp32", "bf16")}
    runs = {
        key: [pick(plan, family, task, label) for label in ("teacher", "amad_kl")]
        for key, plan in plans.items()
    }
    for pair in runs.values():
        assert [train_run(run, "cpu") for run in pair] == ["done", "done"]
    (_, exact), (_, rounded) = runs.values()
    assert exact.id != rounded.id
    assert exact.config.outputs_key != rounded.config.outputs_key
    assert read_json(run_dir(rounded.id) / "run.json")["config"]["precision"] == "bf16"
    losses = [(run_dir(run.id) / "steps.jsonl").read_text() for run in (exact, rounded)]
    assert losses[0] != losses[1]
    both = Plan([run for pair in runs.values() for run in pair])
    table = collect(both, tmp_path / "results").runs
    assert dict(zip(table["run_id"], table["precision"], strict=True)) == {
        run.id: key for key, pair in runs.items() for run in pair
    }
    found = [(s.axes["precision"], s.run_ids) for s in settings(table)]
    assert found == [(key, [run.id for run in pair]) for key, pair in runs.items()]
