"""Maps on demand: finite gradients and float32 whatever surrounds them."""

import pytest
import torch

from amad_bench.models.attention.recorder import record
from tests.tiny_models import tiny_batch, tiny_model


def test_a_row_without_a_key_is_zero_with_finite_gradient():
    model, batch = tiny_model("vlt5").eval(), tiny_batch("vlt5")
    with record(model, ["decoder.cross"]) as recorder:
        layer = recorder.trace(model(**batch), batch["labels"]).sites["decoder.cross"][0]
    query = layer.query_BHQD.detach().clone().requires_grad_()
    layer.query_BHQD, layer.mask_BHQK = query, torch.zeros_like(layer.mask_BHQK)
    probs = layer.probs_BHQK()
    probs.sum().backward()
    assert torch.all(probs == 0)
    assert torch.isfinite(query.grad).all()


@pytest.mark.trap("map-1")
def test_maps_are_float32_under_autocast():
    """The rows of a product in bfloat16 would be off by 1e-3; the projections themselves are in bfloat16."""
    model = tiny_model("vlt5").eval()
    batch = tiny_batch("vlt5")
    with torch.autocast("cpu", dtype=torch.bfloat16), record(model) as recorder, torch.no_grad():
        layer = recorder.trace(model(**batch), batch["labels"]).sites["encoder.self"][0]
        inside = layer.probs_BHQK()
    assert inside.dtype == torch.float32
    assert torch.equal(inside, layer.probs_BHQK())
