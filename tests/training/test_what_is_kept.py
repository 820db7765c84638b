"""Of a pass that a loss looks at nothing stays alive but what it reads."""

import numpy as np
import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef

from amad_bench.data.batch import Batch
from amad_bench.plan.catalogue import LOSSES
from amad_bench.plan.run_config import UsedLoss
from amad_bench.training.distill import Objective
from amad_bench.training.teacher_outputs import OnlineOutputs
from tests.tiny_models import tiny_batch, tiny_model

OPTIONS = {"minilm_v2": {"relation_heads": 4}}


def _objective(name: str) -> Objective:
    """Of the encoder's last layer of two."""
    loss = UsedLoss(
        name=name,
        label=name,
        options=LOSSES[name].complete(OPTIONS.get(name, {})),
        loss_weights={"ce": 1.0, "logit_kd": 1.0, "attention": 1.0},
        logit_temperature=2.0,
        sites=["encoder.self"],
        layer_map="last",
    )
    objective = Objective(loss)
    objective.student_layers = objective.teacher_layers = {"encoder.self": [1]}
    return objective


class Projected:
    """Which outputs of the projections of a VL-T5's encoder, as "layer q", are alive."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._storages: dict[str, StorageWeakRef] = {}
        for layer in (0, 1):
            attention = model.get_submodule(f"encoder.block.{layer}.layer.0.SelfAttention")
            for name in ("q", "k", "v"):
                attention.get_submodule(name).register_forward_hook(self._noting(f"{layer} {name}"))

    def _noting(self, name: str):
        def hook(_module: torch.nn.Module, _args: tuple, output: torch.Tensor) -> None:
            self._storages[name] = StorageWeakRef(output.untyped_storage())

        return hook

    @property
    def alive(self) -> list[str]:
        assert len(self._storages) == 6
        return [name for name, storage in self._storages.items() if not storage.expired()]


@pytest.mark.parametrize(
    ("name", "alive"),
    [
        ("amad", ["1 q", "1 k"]),
        ("tinybert", ["1 q", "1 k"]),
        ("minilm_v2", ["1 q", "1 k", "1 v"]),
        ("shd", ["1 q", "1 k", "1 v"]),
        ("hidden_mse", []),
    ],
)
def test_of_a_teacher_stays_what_the_loss_reads(name, alive):
    model, inputs = tiny_model("vlt5"), tiny_batch("vlt5")
    projected, outputs = Projected(model), OnlineOutputs(model, _objective(name))
    labels = inputs.pop("labels")
    trace = outputs.trace(np.arange(3), Batch(inputs, labels, None, None))
    assert projected.alive == alive
    assert (trace.sites["encoder.self"][1].output_weight_HDd.device.type == "meta") is (name != "shd")
    del trace
    assert projected.alive == []


def test_a_students_output_projection_is_not_read():
    model, inputs = tiny_model("vlt5"), tiny_batch("vlt5")
    with _objective("shd").record_student(model) as recorder, torch.no_grad():
        layer = recorder.trace(model(**inputs), inputs["labels"]).sites["encoder.self"][1]
    assert layer.output_weight_HDd.device.type == "meta"
    assert layer.value_BJKD.device.type == "cpu"


def test_a_teachers_layers_are_looked_for_once(monkeypatch):
    """That takes 10 to 20 ms of a large model."""
    looked, find = [], torch.nn.Module.named_modules
    monkeypatch.setattr(
        torch.nn.Module, "named_modules", lambda m, *a, **k: looked.append(m) or find(m, *a, **k)
    )
    model, inputs = tiny_model("vlt5"), tiny_batch("vlt5")
    labels = inputs.pop("labels")
    outputs = OnlineOutputs(model, _objective("amad"))
    assert any(one is model for one in looked)
    looked.clear()
    outputs.trace(np.arange(3), Batch(inputs, labels, None, None))
    assert not any(one is model for one in looked)
