"""What holds for any maps, masks and head counts, searched by hypothesis with a fixed budget."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from amad_bench.losses import (
    alignment_weights,
    amad_loss,
    head_mean_loss,
    hungarian_loss,
    one_to_one_loss,
    sinkhorn_loss,
    student_mean_loss,
    token_alignment_weights,
)
from tests.losses.cases import Case, masks_for, random_maps, valid_entries, value_and_gradients

BUDGET = settings(derandomize=True, max_examples=30, deadline=None, database=None)
ANY_HEADS = (
    (amad_loss, {"variant": "kl"}),
    (amad_loss, {"variant": "mse"}),
    (amad_loss, {"variant": "token"}),
    (head_mean_loss, {}),
    (student_mean_loss, {}),
    (hungarian_loss, {}),
    (hungarian_loss, {"distance": "mse"}),
    (sinkhorn_loss, {}),
    (sinkhorn_loss, {"distance": "mse"}),
)


@st.composite
def cases(draw):
    """Any head counts, from nearly uniform maps to one-hot ones."""
    teacher_heads, student_heads, queries, keys = (draw(st.integers(1, 6)) for _ in range(4))
    masks = masks_for(draw(st.sampled_from(["none", "query", "key", "causal"])), 2, queries, max(keys, 2))
    valid_BQK = valid_entries(masks, 2, queries, max(keys, 2))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    sharpness = draw(st.sampled_from([0.1, 1.0, 5.0, 300.0]))
    teacher = random_maps(teacher_heads, valid_BQK, generator, sharpness)
    student = random_maps(student_heads, valid_BQK, generator, sharpness)
    return Case(teacher, student, masks, valid_BQK)


def shuffled(maps_BHQK, seed):
    order = torch.randperm(maps_BHQK.shape[1], generator=torch.Generator().manual_seed(seed))
    return maps_BHQK[:, order]


@pytest.mark.trap("amad-18")
@pytest.mark.trap("amad-19")
@BUDGET
@given(case=cases(), seed=st.integers(0, 99))
def test_the_order_of_heads_does_not_matter(case, seed):
    for function, options in ANY_HEADS:
        loss = function(case.teacher_BHQK, case.student_BGQK, **case.masks, **options)
        permuted = function(
            shuffled(case.teacher_BHQK, seed), shuffled(case.student_BGQK, seed + 1), **case.masks, **options
        )
        assert_close(permuted, loss, rtol=1e-9, atol=1e-9)


@pytest.mark.trap("map-6")
@BUDGET
@given(case=cases())
def test_losses_are_finite_and_not_negative_and_masked_entries_get_no_gradient(case):
    """In float32, with inf and NaN in masked entries."""
    pair = case.teacher_BHQK.float(), case.student_BGQK.float()
    for function, options in ANY_HEADS:
        value, *gradients = value_and_gradients(function, *pair, **case.masks, **options)
        assert value.isfinite()
        assert value > -1e-5
        for gradient in gradients:
            assert gradient.isfinite().all()
            assert (gradient[~case.valid_BQK[:, None].expand_as(gradient)] == 0).all()


@BUDGET
@given(case=cases(), temperature=st.floats(0.05, 20), similarity=st.sampled_from(["cosine", "l1"]))
def test_alignment_weights_are_positive_bounded_and_sum_to_one(case, temperature, similarity):
    """Similarities are in [0, 1], so the largest weight is e^(1/tau) / (e^(1/tau) + G - 1)."""
    options = {**case.masks, "similarity": similarity, "temperature": temperature}
    others = case.student_BGQK.shape[1] - 1
    bound = math.exp(1 / temperature) / (math.exp(1 / temperature) + others)
    for weights in (
        alignment_weights(case.teacher_BHQK, case.student_BGQK, **options),
        token_alignment_weights(case.teacher_BHQK, case.student_BGQK, **options),
    ):
        assert (weights > 0).all()
        assert weights.max() <= bound + 1e-12
        assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))


@BUDGET
@given(case=cases())
def test_one_student_head_leaves_nothing_to_align(case):
    """G = 1: every weight is 1, so all ways to align are one and the same loss."""
    one = case.student_BGQK[:, :1]
    expected = student_mean_loss(case.teacher_BHQK, one, **case.masks)
    everywhere = one_to_one_loss(case.teacher_BHQK, one.expand_as(case.teacher_BHQK), **case.masks)
    assert_close(everywhere, expected)
    for function, options in (*ANY_HEADS[:1], ANY_HEADS[2], (hungarian_loss, {}), (sinkhorn_loss, {})):
        assert_close(
            function(case.teacher_BHQK, one, **case.masks, **options), expected, rtol=1e-9, atol=1e-9
        )


@BUDGET
@given(case=cases())
def test_the_best_assignment_is_no_worse_than_any_given_one(case):
    heads = min(case.teacher_BHQK.shape[1], case.student_BGQK.shape[1])
    teacher = case.teacher_BHQK[:, :heads]
    given_one = one_to_one_loss(teacher, case.student_BGQK, **case.masks, drop="extra")
    assert hungarian_loss(teacher, case.student_BGQK, **case.masks) <= given_one + 1e-9
