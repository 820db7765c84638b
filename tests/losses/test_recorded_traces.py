"""Losses that read more than maps, on traces recorded from models: what a training step does with them."""

import pytest
import torch

from amad_bench.losses import build_loss
from amad_bench.models.attention.recorder import record
from tests.tiny_models import SITES, tiny_batch, tiny_model

LOSSES = (
    ("minilm", 4, {}),
    ("minilm_v2", 2, {}),
    ("tinybert", 4, {}),
    ("a2d", 2, {}),
    ("a2d", 2, {"double_softmax": False}),
    ("shd", 2, {}),
    ("hidden_mse", 2, {}),
)


@pytest.mark.parametrize("kind", SITES)
@pytest.mark.parametrize(("name", "heads", "options"), LOSSES, ids=str)
def test_the_loss_falls_and_every_gradient_is_finite(kind, name, heads, options):
    """With padding, causal masks, an image without regions and ignored labels in the batch."""
    batch = tiny_batch(kind)
    teacher, student = tiny_model(kind, seed=1).eval(), tiny_model(kind, heads=heads, seed=2).train()
    loss = build_loss(name, layer_map="uniform", **options)
    with record(teacher, SITES[kind], hidden=True) as recorder, torch.no_grad():
        target = recorder.trace(teacher(**batch), labels=batch["labels"])
    with record(student, SITES[kind], hidden=True) as recorder:
        loss.materialise(target, recorder.trace(student(**batch), labels=batch["labels"]))
        parameters = [*student.parameters(), *loss.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=3e-3)
        values = []
        for _ in range(6):
            value = loss(target, recorder.trace(student(**batch), labels=batch["labels"]))["attention"]
            optimizer.zero_grad()
            value.backward()
            assert all(p.grad is None or torch.isfinite(p.grad).all() for p in parameters)
            optimizer.step()
            values.append(value.item())
    assert 0 < values[-1] < values[0]
    assert all(p.grad is not None for p in loss.parameters())
