"""Maps on demand: finite gradients and float32 whatever surrounds them."""

import pytest
import torch

from amad_bench.models.attention.recorder import record
from amad_bench.models.attention.trace import LayerTrace
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


def test_grouped_queries_share_keys_like_repeated_ones_in_map_and_gradient():
    generator = torch.Generator().manual_seed(0)
    query, key = (
        torch.randn(2, heads, length, 4, generator=generator, dtype=torch.float64).requires_grad_()
        for heads, length in ((6, 5), (2, 7))
    )
    layer = LayerTrace(query, key, key, 0.5, None, None, torch.ones(2, 5, dtype=torch.bool), None)
    expected = (query @ key.repeat_interleave(3, dim=1).mT * 0.5).softmax(-1)
    torch.testing.assert_close(layer.probs_BHQK(), expected, atol=1e-14, rtol=0)
    found, wanted = (
        torch.autograd.grad(maps.square().sum(), (query, key)) for maps in (layer.probs_BHQK(), expected)
    )
    torch.testing.assert_close(found, wanted, atol=1e-14, rtol=0)
