import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from amad_bench.losses import build_loss, minilm_v2_loss
from amad_bench.plan.catalogue import LOSSES, ModelShape
from tests.losses import agreement, naive_minilm
from tests.losses.cases import layer_trace, trace

SHAPES = {  # with head sizes 4 and 3 and two relation heads
    "H > G, one query": (2, 3, 2, 1, 7),
    "H < G": (2, 1, 4, 3, 4),
    "H = G": (3, 2, 2, 5, 5),
}
MASKS = ("none", "query", "key", "empty sample")  # relations know tokens, not entries


def six(*tensors, relation_heads=2, **masks):
    return minilm_v2_loss(tensors[:3], tensors[3:], relation_heads=relation_heads, **masks)


def naive_six(*arguments, relation_heads=2, **masks):
    return naive_minilm.minilm_v2(*arguments, relation_heads=relation_heads, **masks)


def inputs(shape, where, seed=0):
    _, teacher_heads, student_heads, _, _ = shape
    source = agreement.generator(seed)
    return [
        agreement.random_vectors(heads, size, tokens, source)
        for heads, size in ((teacher_heads, 4), (student_heads, 2 if student_heads == 2 else 3))
        for tokens in (where.queries_BQ, where.keys_BK, where.keys_BK)
    ]


@pytest.mark.trap("minilm-v2-2")
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_gradients_agree_with_loops(shape, mask):
    where = agreement.entries(SHAPES[shape], mask)
    agreement.assert_agrees(six, naive_six, inputs(SHAPES[shape], where), where, scale=2.5)


@pytest.mark.trap("minilm-v2-1")
@pytest.mark.parametrize("relation_heads", [1, 4, 8])
def test_relation_heads_cut_across_heads(relation_heads):
    """Width 8 on both sides: one relation head, one of four channels per head, and one per channel."""
    shape = (2, 2, 4, 3, 4)
    where = agreement.entries(shape, "none")
    source = agreement.generator(1)
    tensors = [
        agreement.random_vectors(heads, size, tokens, source)
        for heads, size in ((2, 4), (4, 2))
        for tokens in (where.queries_BQ, where.keys_BK, where.keys_BK)
    ]
    agreement.assert_agrees(six, naive_six, tensors, where, relation_heads=relation_heads)


@pytest.mark.parametrize("mask", ["none", "query", "key"])
def test_gradients_agree_with_finite_differences(mask):
    where = agreement.entries(SHAPES["H < G"], mask)
    agreement.assert_gradcheck(six, inputs(SHAPES["H < G"], where), where)


@pytest.mark.parametrize(
    ("dtype", "rtol"), [(torch.float32, 1e-4), (torch.bfloat16, 1e-2), (torch.float16, 2e-3)]
)
def test_lower_precision_is_computed_in_float32(dtype, rtol):
    where = agreement.entries(SHAPES["H = G"], "query")
    agreement.assert_lower_precision(six, naive_six, inputs(SHAPES["H = G"], where), where, dtype, rtol)


def test_autocast_changes_nothing():
    where = agreement.entries(SHAPES["H = G"], "key")
    agreement.assert_autocast_changes_nothing(six, inputs(SHAPES["H = G"], where), where)


def test_no_valid_token_is_zero_with_zero_gradient():
    where = agreement.entries(SHAPES["H < G"], "none")
    agreement.assert_zero_without_a_valid_entry(six, inputs(SHAPES["H < G"], where), SHAPES["H < G"])


def test_one_hot_relations_are_finite():
    vectors = 1e3 * torch.eye(4).expand(2, 2, 4, 4)
    tensors = [vectors] * 3 + [1e3 * torch.ones(2, 2, 4, 4)] * 3
    results = agreement.value_and_gradients(six, tensors)
    assert all(torch.isfinite(x).all() for x in results)
    assert results[0] > 1


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), mask=st.sampled_from(MASKS[:-1]))
def test_not_negative_and_zero_for_the_same_width_cut_into_other_heads(seed, mask):
    """A student with other heads but the same concatenated vectors has the same relations."""
    where = agreement.entries((3, 2, 2, 5, 5), mask)
    source = agreement.generator(seed)
    teacher = [
        agreement.random_vectors(2, 4, tokens, source)
        for tokens in (where.queries_BQ, where.keys_BK, where.keys_BK)
    ]
    recut = [x.transpose(1, 2).flatten(2).unflatten(-1, (4, 2)).transpose(1, 2) for x in teacher]
    assert abs(six(*teacher, *recut, **where.masks).item()) < 1e-12
    assert six(*teacher, *(-0.5 * x for x in recut), **where.masks) > 0


@pytest.mark.trap("minilm-v2-1")
def test_widths_that_cannot_be_cut_are_refused_by_plan_and_loss():
    teacher, student = trace({"a": [layer_trace(8)]}), trace({"a": [layer_trace(3)]})
    with pytest.raises(
        ValueError, match=r"^a: .*relation_heads 8 must divide .* 8 heads of 4 and the student 3 of 4"
    ):
        build_loss("minilm_v2")(teacher, student)
    shapes = [ModelShape("t5", {"a": n}, {"a": 1}, {"a": 16}, {"a": 4}) for n in (8, 3)]
    supported, reason = LOSSES["minilm_v2"].supports(*shapes)
    assert not supported
    assert "8 does not divide the teacher's 32 and the student's 12 at a" in reason
    assert LOSSES["minilm_v2"].supports(*shapes, {"relation_heads": 4}) == (True, "")
    assert build_loss("minilm_v2", relation_heads=4)(teacher, student)["attention"] > 0


@pytest.mark.trap("minilm-v2-2")
def test_the_module_reads_projections_and_masks_of_a_cross_attention():
    keys_BK = torch.tensor([[True] * 6, [True, True, True, False, False, False]])
    queries_BQ = torch.tensor([[True] * 5, [True] * 4 + [False]])
    layers = [
        layer_trace(n, keys=6, mask_BHQK=keys_BK[:, None, None, :], query_mask_BQ=queries_BQ) for n in (4, 2)
    ]
    expected = minilm_v2_loss(
        *((layer.query_BHQD, layer.key_BJKD, layer.value_BJKD) for layer in layers),
        query_mask_BQ=queries_BQ,
        key_mask_BK=keys_BK,
    )
    parts = build_loss("minilm_v2")(*(trace({"decoder.cross": [layer]}) for layer in layers))
    assert_close(parts["attention"], expected, rtol=1e-6, atol=0)


def test_lengths_and_masks_that_do_not_fit_are_refused():
    one, other = (torch.rand(2, 2, n, 4) for n in (5, 6))
    with pytest.raises(ValueError, match=r"\(2, 8, 5, 1\) and student vectors \(2, 8, 6, 1\)"):
        minilm_v2_loss((one, one, one), (one, other, other))
    with pytest.raises(ValueError, match=r"key_mask_BK has the shape \(2, 6\), expected \(2, 5\)"):
        minilm_v2_loss((one,) * 3, (one,) * 3, key_mask_BK=torch.ones(2, 6, dtype=torch.bool))
