import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from amad_bench.losses import build_loss, hidden_mse_loss, tinybert_attention_loss
from amad_bench.plan.catalogue import LOSSES, ModelShape
from tests.losses import agreement, naive_tinybert
from tests.losses.cases import MASKS, layer_trace, trace

SHAPES = {"square": (3, 4, 4, 5, 5), "one query": (2, 3, 3, 1, 7), "Q > K": (2, 2, 2, 6, 3)}


def inputs(shape, where, seed=0):
    """Scores, of any size, with garbage in masked entries: recorded ones are -inf there."""
    batch, heads, _, queries, keys = shape
    source = agreement.generator(seed)
    valid = where.valid_BQK.flatten(1)
    return [
        agreement.random_vectors(heads, 1, valid, source).view(batch, heads, queries, keys) for _ in range(2)
    ]


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_gradients_agree_with_loops(shape, mask):
    where = agreement.entries(SHAPES[shape], mask)
    agreement.assert_agrees(
        tinybert_attention_loss, naive_tinybert.attention, inputs(SHAPES[shape], where), where, scale=3.0
    )


def test_gradients_agree_with_finite_differences():
    where = agreement.entries(SHAPES["square"], "all")
    agreement.assert_gradcheck(tinybert_attention_loss, inputs(SHAPES["square"], where), where)


@pytest.mark.parametrize(
    ("dtype", "rtol"), [(torch.float32, 1e-4), (torch.bfloat16, 1e-2), (torch.float16, 2e-3)]
)
def test_lower_precision_is_computed_in_float32(dtype, rtol):
    where = agreement.entries(SHAPES["square"], "query")
    tensors = inputs(SHAPES["square"], where)
    agreement.assert_lower_precision(
        tinybert_attention_loss, naive_tinybert.attention, tensors, where, dtype, rtol
    )


def test_no_valid_entry_is_zero_with_zero_gradient():
    where = agreement.entries(SHAPES["square"], "all")
    tensors = inputs(SHAPES["square"], where)
    agreement.assert_zero_without_a_valid_entry(tinybert_attention_loss, tensors, SHAPES["square"])


@pytest.mark.trap("tinybert-1")
@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), mask=st.sampled_from(MASKS[:-1]), shift=st.floats(-50, 50))
def test_a_shift_of_all_scores_costs_its_square_though_maps_are_equal(seed, mask, shift):
    where = agreement.entries(SHAPES["square"], mask)
    scores, _ = inputs(SHAPES["square"], where, seed)
    loss = tinybert_attention_loss(scores, scores + shift, **where.masks)
    assert_close(loss.item(), shift**2, rtol=1e-9, atol=1e-12)


def test_the_module_sums_both_terms_over_valid_entries_and_tokens():
    keys_BK = torch.tensor([[True] * 5, [True, True, True, False, False]])
    causal = torch.ones(5, 5, dtype=torch.bool).tril()
    masks = {"mask_BHQK": keys_BK[:, None, None, :] & causal, "query_mask_BQ": keys_BK}
    layers = [layer_trace(3, **masks, seed=seed) for seed in (0, 1)]
    teacher, student = (trace({"decoder.self": [layer]}, seed=i) for i, layer in enumerate(layers))
    scores = [layer.scores_BHQK() for layer in layers]
    assert scores[0][1, 0, 0, 4].item() == -math.inf
    loss = build_loss("tinybert")
    value = loss(teacher, student)["attention"]
    attention = tinybert_attention_loss(
        *scores, query_mask_BQ=keys_BK, key_mask_BK=keys_BK, cell_mask_QK=causal
    )
    hidden = hidden_mse_loss(
        teacher.hidden["decoder"][0],
        student.hidden["decoder"][0],
        loss.get_parameter("hidden.weights.decoder"),
        token_mask_BL=keys_BK,
    )
    assert_close(value, attention + hidden)
    value.backward()
    assert torch.isfinite(layers[1].query_BHQD.grad).all()


@pytest.mark.trap("tinybert-1")
def test_different_head_counts_are_refused_by_plan_and_loss():
    teacher, student = (trace({"a": [layer_trace(n)]}) for n in (4, 2))
    instead = "4 heads and the student 2; hidden_mse compares hidden states alone"
    with pytest.raises(ValueError, match=rf"^a: tinybert .* has {instead}"):
        build_loss("tinybert")(teacher, student)
    shapes = [ModelShape("t5", {"a": n}, {"a": 1}, {"a": 8}, {"a": 4}) for n in (4, 2)]
    supported, reason = LOSSES["tinybert"].supports(*shapes)
    assert not supported
    assert instead in reason


@pytest.mark.trap("tinybert-1")
def test_hidden_states_alone_are_another_loss():
    with pytest.raises(ValueError, match="hidden states alone are the loss hidden_mse, write that"):
        build_loss("tinybert", attention=False)
