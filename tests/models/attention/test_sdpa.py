"""Recorded maps against what the forward pass hands to SDPA itself: any model, nothing of ours in between."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from amad_bench.models.attention.kinds import find_stacks
from amad_bench.models.attention.recorder import record
from tests.models.attention.plain_models import KINDS as PLAIN_KINDS
from tests.models.attention.plain_models import plain_model
from tests.tiny_models import KINDS, SITES, tiny_batch, tiny_model

UNDER_SDPA = (*KINDS, "t5", "bert", "bert-decoder", "vit")  # plain BLIP is eager only


class SdpaMaps(TorchFunctionMode):
    """The map of each call of SDPA, before dropout, computed in float64 from the call's arguments."""

    def __init__(self):
        super().__init__()
        self.maps = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is scaled_dot_product_attention:
            self.maps.append(_map_of(*args, **(kwargs or {})))
        return function(*args, **(kwargs or {}))


def _map_of(query, key, _value, attn_mask=None, is_causal=False, scale=None, **_):
    scores = query.double() @ key.double().transpose(-1, -2)
    scores = scores * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, float("-inf"))
    elif attn_mask is not None:
        scores = scores + attn_mask.double()
    return scores.softmax(-1)


class FreshTensors(TorchDispatchMode):
    """How many elements each operator's new tensors have; views are none."""

    def __init__(self):
        super().__init__()
        self.elements = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if not function.is_view:
            outputs = result if isinstance(result, tuple | list) else [result]
            self.elements += [one.numel() for one in outputs if isinstance(one, torch.Tensor)]
        return result


def _case(kind, **options):
    """(model, batch, sites, labels)"""
    if kind in KINDS:
        batch = tiny_batch(kind)
        return tiny_model(kind, **options), batch, SITES[kind], batch["labels"]
    return plain_model(kind, **options), PLAIN_KINDS[kind].batch, PLAIN_KINDS[kind].sites, None


def _in_order(model, sites):
    """Sites and layers as a pass goes through them: stack by stack, in a layer self before cross."""
    stacks = [stack for stack in ("encoder", "vision", "text", "decoder") if stack in find_stacks(model)]
    for stack in stacks:
        for layer in range(2):
            for name in ("self", "cross"):
                if f"{stack}.{name}" in sites:
                    yield f"{stack}.{name}", layer


def _compare(kind, train, tolerance):
    model, batch, sites, labels = _case(kind, dropout=0.3)
    model.train(train)
    with SdpaMaps() as sdpa, record(model, sites) as recorder, torch.no_grad():
        trace = recorder.trace(model(**batch), labels)
    order = list(_in_order(model, sites))
    assert len(sdpa.maps) == len(order) == 2 * len(sites)
    for (site, layer), expected_BHQK in zip(order, sdpa.maps, strict=True):
        one = trace.sites[site][layer]
        actual_BHQK = one.probs_BHQK()
        assert actual_BHQK.dtype == torch.float32
        valid_BQ = one.query_mask_BQ  # a row of padding is whatever the implementation makes of it
        torch.testing.assert_close(
            actual_BHQK.transpose(1, 2)[valid_BQ].double(),
            expected_BHQK.transpose(1, 2)[valid_BQ],
            atol=tolerance,
            rtol=0,
        )


@pytest.mark.trap("map-2")
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("kind", UNDER_SDPA)
def test_maps_are_those_that_sdpa_computes(kind, train):
    """With dropout: SDPA gets the projections, bias and mask of a training pass, and drops inside."""
    _compare(kind, train, 1e-6)


@pytest.mark.trap("map-1")
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("kind", UNDER_SDPA)
def test_maps_are_those_that_sdpa_computes_under_autocast(kind, train):
    """It may get bias and mask rounded to bfloat16, the recorder reads them as they were."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _compare(kind, train, 1e-2)


@pytest.mark.parametrize("kind", UNDER_SDPA)
def test_recording_makes_no_tensor_of_the_size_of_a_map_or_a_projection(kind):
    """All it may make are masks of one head."""
    model, batch, sites, labels = _case(kind)
    model.eval()
    with torch.no_grad():
        with FreshTensors() as plain:
            model(**batch)
        with record(model, sites) as recorder, FreshTensors() as recorded:
            trace = recorder.trace(model(**batch), labels)
    for size in plain.elements:
        recorded.elements.remove(size)
    layers = [layer for site in trace.sites.values() for layer in site]
    one_head = max(len(one.query_BHQD) * one.query_BHQD.shape[2] * one.key_BJKD.shape[2] for one in layers)
    assert all(size <= one_head for size in recorded.elements)
    assert layers[0].query_BHQD.shape[1] > 1


@pytest.mark.parametrize("kind", PLAIN_KINDS)
def test_every_layer_is_the_eager_one_under_autocast(kind):
    """Recorded from the eager pass itself, so that all layers have the same inputs; BLIP too."""
    model, maps = plain_model(kind, eager=True).eval(), {}
    for stack, blocks in find_stacks(model).items():
        for layer, block in enumerate(blocks):
            for name, attention in block.attention.items():
                attention.module.register_forward_hook(
                    lambda _m, _a, out, key=(f"{stack}.{name}", layer): maps.__setitem__(key, out[-1])
                )
    sites = PLAIN_KINDS[kind].sites
    with torch.autocast("cpu", dtype=torch.bfloat16), record(model, sites) as recorder, torch.no_grad():
        trace = recorder.trace(model(**PLAIN_KINDS[kind].batch))
    for (site, layer), expected_BHQK in maps.items():
        one = trace.sites[site][layer]
        assert one.query_BHQD.dtype == torch.bfloat16
        rows_BQ = one.query_mask_BQ
        torch.testing.assert_close(
            one.probs_BHQK().transpose(1, 2)[rows_BQ],
            expected_BHQK.float().transpose(1, 2)[rows_BQ],
            atol=1e-2,
            rtol=0,
        )
    assert len(maps) == 2 * len(sites)
