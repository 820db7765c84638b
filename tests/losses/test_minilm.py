import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from amad_bench.losses import build_loss, minilm_loss
from amad_bench.plan.catalogue import LOSSES, ModelShape
from tests.losses import agreement, naive_minilm
from tests.losses.cases import MASKS, layer_trace, random_maps, trace

SHAPES = {"square": (3, 4, 4, 5, 5), "one query": (2, 3, 3, 1, 7), "Q > K": (2, 2, 2, 6, 3)}


def inputs(shape, where, seed=0, sharpness=2.0):
    """Head sizes of teacher and student differ: 3 and 2."""
    _, heads, _, _, _ = shape
    source = agreement.generator(seed)
    maps = [random_maps(heads, where.valid_BQK, source, sharpness) for _ in range(2)]
    values = [agreement.random_vectors(heads, size, where.keys_BK, source) for size in (3, 2)]
    return [*maps, *values]


@pytest.mark.trap("minilm-1")
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_gradients_agree_with_loops(shape, mask):
    where = agreement.entries(SHAPES[shape], mask)
    agreement.assert_agrees(minilm_loss, naive_minilm.minilm, inputs(SHAPES[shape], where), where, scale=-3.7)


@pytest.mark.parametrize("mask", ["none", "all"])
def test_gradients_agree_with_finite_differences(mask):
    where = agreement.entries(SHAPES["one query"], mask)
    agreement.assert_gradcheck(minilm_loss, inputs(SHAPES["one query"], where), where)


@pytest.mark.parametrize(
    ("dtype", "rtol"), [(torch.float32, 1e-4), (torch.bfloat16, 1e-2), (torch.float16, 2e-3)]
)
def test_lower_precision_is_computed_in_float32(dtype, rtol):
    where = agreement.entries(SHAPES["square"], "query")
    tensors = inputs(SHAPES["square"], where, sharpness=1.0)
    agreement.assert_lower_precision(minilm_loss, naive_minilm.minilm, tensors, where, dtype, rtol)


def test_autocast_changes_nothing():
    where = agreement.entries(SHAPES["square"], "key")
    agreement.assert_autocast_changes_nothing(minilm_loss, inputs(SHAPES["square"], where), where)


def test_no_valid_entry_is_zero_with_zero_gradient():
    where = agreement.entries(SHAPES["square"], "all")
    agreement.assert_zero_without_a_valid_entry(
        minilm_loss, inputs(SHAPES["square"], where), SHAPES["square"]
    )


def test_one_hot_maps_and_long_values_are_finite():
    """Values of length 1e3 make relations one-hot; the student has no mass where the teacher has all."""
    eye = torch.eye(4).expand(2, 3, 4, 4)
    value = 1e3 * torch.eye(4)[:, :2].expand(2, 3, 4, 2)
    results = agreement.value_and_gradients(minilm_loss, [eye, eye.flip(-1), value, -value.flip(-2)])
    assert all(torch.isfinite(x).all() for x in results)
    assert results[0] > 20


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), mask=st.sampled_from(MASKS[:-1]))
def test_not_negative_and_zero_for_a_copy(seed, mask):
    where = agreement.entries(SHAPES["square"], mask)
    teacher, student, value, other = inputs(SHAPES["square"], where, seed)
    assert minilm_loss(teacher, student, value, other, **where.masks) >= 0
    # an orthogonal turn of the values changes no relation
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=agreement.generator(seed), dtype=torch.float64))
    turned = torch.where(where.keys_BK[:, None, :, None], value, 0.0) @ turn
    assert abs(minilm_loss(teacher, teacher, value, turned, **where.masks).item()) < 1e-12


def test_the_relation_has_no_causal_mask():
    """Values of later tokens count in the relations of earlier ones, also in a decoder."""
    shape = SHAPES["square"]
    where = agreement.entries(shape, "causal")
    tensors = inputs(shape, where)
    _, _, _, gradient, _ = agreement.value_and_gradients(minilm_loss, tensors, **where.masks)
    assert gradient[:, :, -1].abs().max() > 1e-6


@pytest.mark.trap("minilm-1")
def test_different_head_counts_are_refused_by_plan_and_loss():
    teacher, student = trace({"a": [layer_trace(4)]}), trace({"a": [layer_trace(2)]})
    with pytest.raises(ValueError, match=r"^a: minilm compares .* has 4 heads and the student 2; minilm_v2"):
        build_loss("minilm")(teacher, student)
    shapes = [ModelShape("t5", {"a": n}, {"a": 1}, {"a": 8}, {"a": 4}) for n in (4, 2)]
    supported, reason = LOSSES["minilm"].supports(*shapes)
    assert not supported
    assert "4 heads and the student 2; minilm_v2 does without equal heads" in reason


def test_the_module_reads_maps_values_and_masks_of_the_traces():
    keys_BK = torch.tensor([[True] * 5, [True, True, True, False, False]])
    masks = {"mask_BHQK": keys_BK[:, None, None, :], "query_mask_BQ": keys_BK}
    layers = [layer_trace(3, **masks, seed=seed) for seed in (0, 1)]
    expected = minilm_loss(
        *(layer.probs_BHQK() for layer in layers),
        *(layer.value_BJKD for layer in layers),
        query_mask_BQ=keys_BK,
        key_mask_BK=keys_BK,
    )
    parts = build_loss("minilm")(*(trace({"a": [layer]}) for layer in layers))
    assert_close(parts["attention"], expected, rtol=1e-6, atol=0)


def test_values_of_another_length_are_refused():
    maps = torch.rand(2, 3, 4, 5).softmax(-1)
    with pytest.raises(
        ValueError, match=r"teacher vectors \(2, 3, 5, 2\) and student vectors \(2, 3, 4, 2\)"
    ):
        minilm_loss(maps, maps, torch.rand(2, 3, 5, 2), torch.rand(2, 3, 4, 2))
