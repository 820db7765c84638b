"""A2D against loops and against the released code (fixtures/a2d_released.json says how it was run)."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from amad_bench.losses import a2d_loss, amad_loss, build_loss
from tests.losses import agreement, naive_a2d
from tests.losses.cases import MASKS, SHAPES, layer_trace, random_maps, trace

RELEASED = json.loads((Path(__file__).parent / "fixtures" / "a2d_released.json").read_text())
OPTIONS = (
    {},
    {"reduction": "mean"},
    {"double_softmax": False},
    {"double_softmax": False, "reduction": "mean"},
)


def inputs(shape, where, seed=0, sharpness=2.0, double_softmax=True, **_):
    _, teacher_maps, student_maps, _, _ = shape
    source = agreement.generator(seed)
    maps = [random_maps(n, where.valid_BQK, source, sharpness) for n in (teacher_maps, student_maps)]
    weight = torch.randn(teacher_maps, student_maps, generator=source, dtype=torch.float64)
    bias = torch.randn(teacher_maps, generator=source, dtype=torch.float64)
    return [*maps, weight, bias] if double_softmax else [*maps, weight]


def a2d(teacher, student, weight, bias=None, **options):
    return a2d_loss(teacher, student, weight, bias, **options)


def naive(teacher, student, weight, *rest, **options):
    bias, valid = rest if len(rest) == 2 else (None, *rest)
    return naive_a2d.a2d(teacher, student, weight, bias, valid, **options)


def wave(shape, rate, shift):
    n = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return torch.sin(rate * n + shift).view(shape)


@pytest.mark.trap("a2d-1")
def test_the_released_code_gives_the_same_value_and_gradients():
    tensors = [
        (2 * wave((2, 6, 4, 5), 0.7, 0.3)).softmax(-1),
        (2 * wave((2, 4, 4, 5), 1.3, 0.5)).softmax(-1),
        wave((6, 4), 0.9, 0.1),
        wave((6,), 1.1, 0.2),
    ]
    value, _, student, weight, bias = agreement.value_and_gradients(a2d_loss, tensors)
    assert_close(value.item(), RELEASED["attn_loss_epoch_1"], rtol=1e-12, atol=0)
    assert_close(
        weight, torch.tensor(RELEASED["gradient_weight"], dtype=torch.float64), rtol=1e-10, atol=1e-14
    )
    assert_close(bias, torch.tensor(RELEASED["gradient_bias"], dtype=torch.float64), rtol=0, atol=1e-14)
    assert_close(student.square().sum().item(), RELEASED["gradient_student_squared_norm"], rtol=1e-10, atol=0)
    factor = build_loss("a2d").weight_factor(4)
    assert_close(value.item() * factor, RELEASED["attn_loss_epoch_4"], rtol=1e-12, atol=0)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_mask_agrees_with_loops(options, mask):
    where = agreement.entries(SHAPES["H < G"], mask)
    tensors = inputs(SHAPES["H < G"], where, **options)
    agreement.assert_agrees(a2d, naive, tensors, where, scale=-1.5, **options)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("options", OPTIONS[::2], ids=str)
def test_every_shape_agrees_with_loops(options, shape):
    where = agreement.entries(SHAPES[shape], "all")
    agreement.assert_agrees(a2d, naive, inputs(SHAPES[shape], where, **options), where, **options)


@pytest.mark.parametrize("options", OPTIONS[::2], ids=str)
def test_gradients_agree_with_finite_differences(options):
    where = agreement.entries(SHAPES["one query"], "all")
    agreement.assert_gradcheck(a2d, inputs(SHAPES["one query"], where, **options), where, **options)


@pytest.mark.parametrize(
    ("dtype", "rtol"), [(torch.float32, 1e-4), (torch.bfloat16, 1e-2), (torch.float16, 2e-3)]
)
@pytest.mark.parametrize("options", OPTIONS[::2], ids=str)
def test_lower_precision_is_computed_in_float32(options, dtype, rtol):
    where = agreement.entries(SHAPES["H = G, square"], "query")
    tensors = inputs(SHAPES["H = G, square"], where, sharpness=1.0, **options)
    agreement.assert_lower_precision(a2d, naive, tensors, where, dtype, rtol, **options)


@pytest.mark.parametrize("options", OPTIONS[::2], ids=str)
def test_autocast_changes_nothing(options):
    where = agreement.entries(SHAPES["H = G, square"], "key")
    tensors = inputs(SHAPES["H = G, square"], where, **options)
    agreement.assert_autocast_changes_nothing(a2d, tensors, where, **options)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_no_valid_entry_is_zero_with_zero_gradient(options):
    shape = SHAPES["H = G, square"]
    tensors = inputs(shape, agreement.entries(shape, "all"), **options)
    agreement.assert_zero_without_a_valid_entry(a2d, tensors, shape, **options)


@pytest.mark.parametrize("options", OPTIONS[::2], ids=str)
def test_one_hot_maps_and_zero_mass_are_finite(options):
    eye = torch.eye(4).expand(2, 3, 4, 4)
    tensors = [eye, eye.flip(-1), 100 * torch.ones(3, 3), torch.zeros(3)][: 4 if not options else 3]
    results = agreement.value_and_gradients(a2d, tensors, **options)
    assert all(torch.isfinite(x).all() for x in results)
    assert results[0] > 1


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), mask=st.sampled_from(MASKS[:-1]))
def test_reachable_optimum_and_invariances(seed, mask):
    """The identity reaches the teacher; W may follow any order of student maps; a bias changes nothing."""
    where = agreement.entries(SHAPES["H = G, square"], mask)
    teacher, student, weight, bias = inputs(SHAPES["H = G, square"], where, seed)
    identity = torch.eye(4, dtype=torch.float64)
    assert abs(a2d(teacher, teacher, identity, 0 * bias, **where.masks).item()) < 1e-10
    loss = a2d(teacher, student, weight, bias, **where.masks)
    order = torch.randperm(4, generator=agreement.generator(seed))
    assert_close(a2d(teacher, student[:, order], weight[:, order], bias, **where.masks), loss)
    assert_close(a2d(teacher, student, weight, 0 * bias, **where.masks), loss)
    assert loss >= 0


@pytest.mark.trap("a2d-2")
def test_without_double_softmax_equal_weights_are_the_student_mean():
    """W = 0 gives every student map the same weight: AMAD's limit of a hot temperature."""
    where = agreement.entries(SHAPES["H < G"], "query")
    teacher, student, weight = inputs(SHAPES["H < G"], where, double_softmax=False)
    loss = a2d(teacher, student, 0 * weight, double_softmax=False, reduction="mean", **where.masks)
    expected = amad_loss(teacher, student, temperature=1e9, head_reduction="mean", **where.masks)
    assert_close(loss, expected, rtol=1e-7, atol=0)


@pytest.mark.parametrize("double_softmax", [True, False])
def test_the_module_convolves_all_layers_and_heads_of_each_site(double_softmax):
    sites = ("encoder.self", "decoder.self")
    teacher = trace({site: [layer_trace(4, seed=i) for i in range(3)] for site in sites})
    student = trace({site: [layer_trace(2, seed=9 + i) for i in range(2)] for site in sites})
    loss = build_loss("a2d", double_softmax=double_softmax, reduction="mean", layer_map=[[0, 0]])
    assert list(loss.parameters()) == []
    loss.materialise(teacher, student)
    shapes = {name: tuple(value.shape) for name, value in loss.state_dict().items()}
    weights = {f"convolutions.{site.replace('.', '-')}/weight": (12, 4) for site in sites}
    biases = {f"convolutions.{site.replace('.', '-')}/bias": (12,) for site in sites}
    assert shapes == (weights | biases if double_softmax else weights)
    assert all(0 < parameter.abs().max() <= 0.5 for parameter in loss.parameters())
    value = loss(teacher, student)["attention"]
    terms = []
    for site in sites:
        maps = [torch.cat([layer.probs_BHQK() for layer in t.sites[site]], 1) for t in (teacher, student)]
        name = f"convolutions.{site.replace('.', '-')}"
        bias = loss.get_parameter(f"{name}/bias") if double_softmax else None
        weight = loss.get_parameter(f"{name}/weight")
        terms.append(a2d_loss(*maps, weight, bias, double_softmax=double_softmax, reduction="mean"))
    assert_close(value, sum(terms) / 2)
    value.backward()
    assert all(
        parameter.grad.abs().sum() > 0 for name, parameter in loss.named_parameters() if "weight" in name
    )
    again = build_loss("a2d", double_softmax=double_softmax, reduction="mean")
    again.load_state_dict(loss.state_dict())
    assert torch.equal(again(teacher, student)["attention"], value)


@pytest.mark.trap("a2d-1")
def test_the_weight_shrinks_by_a_tenth_with_each_epoch():
    loss = build_loss("a2d")
    assert [loss.weight_factor(epoch) for epoch in (1, 2, 3)] == [1.0, 0.9, pytest.approx(0.81)]
    assert build_loss("a2d", decay=1.0).weight_factor(7) == build_loss("amad").weight_factor(7) == 1.0


def test_mistakes_are_named():
    maps, weight = torch.rand(2, 3, 4, 5).softmax(-1), torch.rand(3, 3)
    with pytest.raises(ValueError, match=r"weight \(3, 2\), expected \(3, 3\)"):
        a2d_loss(maps, maps, torch.rand(3, 2), torch.rand(3))
    with pytest.raises(ValueError, match="a bias is for double_softmax"):
        a2d_loss(maps, maps, weight, None)
    with pytest.raises(ValueError, match="a bias is for double_softmax"):
        a2d_loss(maps, maps, weight, torch.rand(3), double_softmax=False)
    with pytest.raises(ValueError, match=r"^a: teacher maps \(2, 2, 5, 5\) and student maps \(2, 2, 5, 6\)"):
        build_loss("a2d")(trace({"a": [layer_trace(2)]}), trace({"a": [layer_trace(2, keys=6)]}))
