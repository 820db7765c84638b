"""The recorder on foreign architectures, against the same weights under transformers' eager attention.

docs/recorder.md lists them; what is refused is in test_refused_architectures.py.
"""

from fnmatch import fnmatch

import pytest
import torch

from amad_bench.models.attention.recorder import record
from amad_bench.models.attention.sites import sites_of
from tests.models.attention.architectures import ARCHITECTURES, BATCHES, make, valid_rows

REFUSED = {"Qwen2-VL": {"vision.self"}}  # with several images, see test_refused.py
CASES = [(name, batch) for name, one in ARCHITECTURES.items() for batch in one.batches]


def eager_maps(name, batch):
    """site -> maps as the eager model gives them back, or its modules; and the model."""
    architecture, model = ARCHITECTURES[name], make(name, "eager")
    kept = {site: [] for site, path in architecture.maps.items() if "*" in path}
    for site, layers in kept.items():
        for path, module in model.named_modules():
            if fnmatch(path, architecture.maps[site]):
                module.register_forward_hook(lambda _m, _a, out, layers=layers: layers.append(out[1]))
    output = model(**batch, output_attentions=True)
    for site, path in architecture.maps.items():
        if site not in kept:
            value = output
            for attribute in path.split("."):
                value = getattr(value, attribute)
            kept[site] = value
    return kept, model


def recorded(name, batch):
    """The trace of a pass under SDPA; and the model."""
    model = make(name)
    with record(model, list(ARCHITECTURES[name].maps)) as recorder:
        return recorder.trace(model(**batch)), model


def naive_map(layer):
    """Softmax in float64, row by row, with a head of keys for each of queries."""
    query_BHQD, key_BJKD = layer.query_BHQD.double(), layer.key_BJKD.double()
    batch, heads, queries, _ = query_BHQD.shape
    shared = heads // key_BJKD.shape[1]
    map_BHQK = query_BHQD.new_zeros(batch, heads, queries, key_BJKD.shape[2])
    for b in range(batch):
        for h in range(heads):
            for q in range(queries):
                scores_K = layer.scale * (key_BJKD[b, h // shared] @ query_BHQD[b, h, q])
                if layer.bias_BHQK is not None:
                    scores_K = scores_K + layer.bias_BHQK.expand(map_BHQK.shape)[b, h, q]
                if layer.mask_BHQK is not None:
                    scores_K = scores_K.masked_fill(
                        ~layer.mask_BHQK.expand(map_BHQK.shape)[b, h, q], -torch.inf
                    )
                map_BHQK[b, h, q] = scores_K.softmax(-1)
    return map_BHQK


@pytest.mark.trap("map-4")
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_maps_and_their_gradients_are_those_of_the_eager_model(name, kind):
    batch = BATCHES[kind]
    expected, eager = eager_maps(name, batch)
    trace, model = recorded(name, batch)
    assert set(expected) == set(sites_of(model)) - REFUSED.get(name, set())
    ours, theirs = assert_maps_of_the_eager_model(trace, expected, batch)
    torch.stack(ours).sum().backward()
    torch.stack(theirs).sum().backward()
    assert_equal_gradients(model, eager)


def assert_maps_of_the_eager_model(trace, expected, batch):
    """And those of captured queries and keys. Gives back a random sum of each map, recorded and eager."""
    assert set(trace.sites) == set(expected)
    ours, theirs = [], []
    generator = torch.Generator().manual_seed(1)
    for site, layers in trace.sites.items():
        assert len(layers) == len(expected[site]) >= 1
        for layer, expected_BHQK in zip(layers, expected[site], strict=True):
            actual_BHQK = layer.probs_BHQK()
            assert actual_BHQK.shape == expected_BHQK.shape == layer.shape_BHQK
            rows_BQ = valid_rows(site, batch, expected_BHQK)
            assert torch.equal(layer.query_mask_BQ, rows_BQ), site
            actual, wanted = (maps.transpose(1, 2)[rows_BQ] for maps in (actual_BHQK, expected_BHQK))
            torch.testing.assert_close(actual, wanted, atol=2e-5, rtol=0)
            naive = naive_map(layer).transpose(1, 2)[rows_BQ]
            torch.testing.assert_close(actual.double(), naive, atol=1e-6, rtol=0)
            assert wanted.std() > 0.01  # maps that are alike everywhere would prove little
            direction = torch.randn(wanted.shape, generator=generator)
            ours.append((actual * direction).sum())
            theirs.append((wanted * direction).sum())
    return ours, theirs


def assert_equal_gradients(model, expected, tolerance=1e-5):
    """Of all parameters together."""
    gradients, wanted = (
        [torch.zeros_like(p) if p.grad is None else p.grad for p in one.parameters()]
        for one in (model, expected)
    )
    scale = torch.stack([gradient.norm() for gradient in wanted]).norm()
    assert scale > 0.1
    error = torch.stack([(a - b).norm() for a, b in zip(gradients, wanted, strict=True)]).norm()
    assert error <= tolerance * scale
