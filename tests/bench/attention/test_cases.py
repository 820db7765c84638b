"""What is compared: naive losses of layers, the package's by each kernel, and the floor."""

import pytest
import torch
from torch.testing import assert_close

from amad_bench.bench.attention.cases import CHUNKED, DENSE, METHODS, NAIVE, Shape, random_case
from amad_bench.bench.attention.floor import Rates, floor_ms, moved_bytes, operations
from amad_bench.bench.attention.naive_layers import naive_entries, naive_maps
from amad_bench.losses.entries import traced_entries
from amad_bench.models.attention.trace import LayerTrace, unread

SHAPE = Shape(3, 4, 2, 9, 8, 16)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.label)
def test_every_way_is_the_same_loss(method):
    found = {}
    providers = method.providers("cpu")
    assert [*providers] == [NAIVE, DENSE, CHUNKED]
    for name, function in providers.items():
        case = random_case(SHAPE, torch.float32, "cpu", values=method.relations)
        value = function(case.teacher, case.student)
        value.backward()
        found[name] = value.detach(), *(tensor.grad for tensor in case.inputs)
    for name in (DENSE, CHUNKED):
        assert_close(found[name], found[NAIVE], rtol=1e-4, atol=1e-5)


def test_triton_is_for_gpus_alone():
    by_label = {method.label: [*method.providers("cuda")] for method in METHODS}
    assert [label for label, names in by_label.items() if "triton" not in names] == ["minilm_v2"]


@pytest.mark.parametrize("masked", ["nothing", "padding", "causal, bias, grouped queries"])
def test_naive_maps_are_those_of_the_trace(masked):
    generator = torch.Generator().manual_seed(1)
    query_BHQD = torch.randn(2, 4, 5, 3, generator=generator)
    grouped = masked.startswith("causal")
    key_BJKD = torch.randn(2, 2 if grouped else 4, 5, 3, generator=generator)
    bias_BHQK = torch.randn(1, 4, 5, 5, generator=generator) if grouped else None
    tokens_BQ = torch.ones(2, 5, dtype=torch.bool)
    mask_BHQK = torch.ones(5, 5, dtype=torch.bool).tril()[None, None] if grouped else None
    if masked == "padding":
        tokens_BQ[1, 3:] = False
        mask_BHQK = tokens_BQ[:, None, None, :]
    layer = LayerTrace(query_BHQD, key_BJKD, unread(), 0.7, bias_BHQK, mask_BHQK, tokens_BQ, None)
    assert_close(naive_maps(layer), layer.probs_BHQK())
    assert torch.equal(naive_entries(layer, layer), traced_entries(layer, layer))


def test_nothing_masked_is_no_mask():
    case = random_case(SHAPE, torch.float32, "cpu")
    assert naive_entries(case.teacher, case.student) is None


def test_a_floor_by_hand():
    kl = next(method for method in METHODS if method.label == "amad kl")
    # 3 samples of 9 tokens; widths 4 * 8 and 2 * 16; teacher's q, k; student's q, k and their gradients
    assert moved_bytes(kl, SHAPE, 2) == 2 * 3 * 9 * (2 * 32 + 4 * 32)
    # scores of both sides and two products for the gradients; five products of 4 with 2 heads
    assert operations(kl, SHAPE) == 2 * 3 * 81 * (32 + 3 * 32 + 5 * 4 * 2)
    memory_s, products_s = moved_bytes(kl, SHAPE, 2) / 2**30 / 10, operations(kl, SHAPE) / 1e12
    assert floor_ms(kl, SHAPE, 2, Rates(10, 1e3)) == pytest.approx(1e3 * memory_s)
    assert floor_ms(kl, SHAPE, 2, Rates(1e9, 1)) == pytest.approx(1e3 * products_s)
    relations = METHODS[-1]
    assert moved_bytes(relations, SHAPE, 4) == 4 * 3 * 9 * 3 * 32 * 3
    assert operations(relations, SHAPE) == 3 * 2 * 3 * 81 * 32 * 3


def test_heads_of_the_teachers_width():
    shape = Shape.of_width(4, 12, 8, 577)
    assert (shape.teacher_size, shape.student_size) == (64, 96)
    assert shape.teacher_width == shape.student_width == 768
