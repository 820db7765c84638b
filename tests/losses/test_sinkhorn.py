import pytest
import torch
from torch.testing import assert_close

from amad_bench.losses import amad_loss, sinkhorn_loss, student_mean_loss
from amad_bench.losses.sinkhorn import transport_plan
from tests.losses import naive
from tests.losses.cases import make_case, random_maps, value_and_gradients

HEADS = [(3, 2), (2, 5), (4, 4), (12, 8), (16, 4), (5, 1), (1, 3)]


def cost_of_random_heads(heads, dtype, sharpness=2.0, queries=5):
    generator = torch.Generator().manual_seed(0)
    everything = torch.ones(30, queries, 7, dtype=torch.bool)
    t, s = (random_maps(n, everything, generator, sharpness).flatten(2).to(dtype) for n in heads)
    return 1 - torch.nn.functional.cosine_similarity(t[:, :, None], s[:, None], dim=-1)


@pytest.mark.trap("sinkhorn-1")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("sharpness", "queries"), [(0.5, 5), (2.0, 5), (2.0, 1), (20.0, 1)])
@pytest.mark.parametrize("heads", HEADS)
def test_marginals_are_within_1e_5(heads, sharpness, queries, dtype):
    """Sharp maps of one query among them: there 100 iterations alone leave up to 3e-3."""
    plan_BHG = transport_plan(cost_of_random_heads(heads, dtype, sharpness, queries))
    assert (plan_BHG >= 0).all()
    assert_close(plan_BHG.sum(2), torch.full((30, heads[0]), 1 / heads[0], dtype=dtype), rtol=0, atol=1e-6)
    assert_close(plan_BHG.sum(1), torch.full((30, heads[1]), 1 / heads[1], dtype=dtype), rtol=0, atol=1e-6)


@pytest.mark.parametrize("heads", HEADS)
def test_the_plan_is_that_of_the_scaling_algorithm(heads):
    cost_BHG = cost_of_random_heads(heads, torch.float64)
    expected = torch.stack([naive.transport(cost_HG) for cost_HG in cost_BHG])
    assert_close(transport_plan(cost_BHG), expected, rtol=1e-9, atol=1e-13)


def test_the_plan_has_the_form_that_is_optimal():
    """log P + C / epsilon = f_h + g_g: what makes a plan with these marginals the entropic optimum."""
    cost_BHG = cost_of_random_heads((3, 4), torch.float64, sharpness=0.5)
    sum_BHG = transport_plan(cost_BHG).log() + cost_BHG / 0.05
    mixed = sum_BHG - sum_BHG.mean(1, keepdim=True) - sum_BHG.mean(2, keepdim=True)
    assert_close(mixed, -sum_BHG.mean((1, 2), keepdim=True).expand_as(mixed), rtol=0, atol=1e-7)


def test_a_small_epsilon_assigns_and_a_large_one_spreads():
    cost = 1 - torch.eye(4, dtype=torch.float64)[None]
    assert_close(transport_plan(cost), torch.eye(4, dtype=torch.float64)[None] / 4, rtol=0, atol=1e-8)
    assert_close(transport_plan(cost, epsilon=1e6), torch.full_like(cost, 1 / 16), rtol=1e-5, atol=0)


def test_it_is_sharp_where_the_published_alignment_is_not():
    """Copies of distinct heads: nearly the optimum, which AMAD at tau = 1 cannot reach."""
    sharpest = torch.eye(8, dtype=torch.float64)[:, None, :].expand(8, 3, 8)[None]
    assert abs(sinkhorn_loss(sharpest, sharpest).item()) < 1e-6
    assert amad_loss(sharpest, sharpest) > 8


@pytest.mark.parametrize("distance", ["kl", "mse"])
def test_a_large_epsilon_is_the_student_mean(distance):
    case = make_case("H < G", "all")
    maps = case.teacher_BHQK, case.student_BGQK
    spread = sinkhorn_loss(*maps, **case.masks, distance=distance, epsilon=1e9)
    assert_close(spread, student_mean_loss(*maps, **case.masks, distance=distance), rtol=1e-7, atol=0)


@pytest.mark.trap("sinkhorn-1")
@pytest.mark.parametrize("distance", ["kl", "mse"])
def test_the_plan_passes_a_gradient_unless_it_is_detached(distance):
    case = make_case("H < G", "all")
    pair = case.teacher_BHQK, case.student_BGQK
    value, _, gradient = value_and_gradients(sinkhorn_loss, *pair, **case.masks, distance=distance)
    detached = value_and_gradients(
        sinkhorn_loss, *pair, **case.masks, distance=distance, detach_alignment=True
    )
    assert_close(detached[0], value, rtol=0, atol=0)
    assert (detached[2] - gradient).abs().max() > 1e-4


@pytest.mark.parametrize("heads", HEADS)
def test_rounding_of_a_converged_plan_leaves_the_gradient_finite(heads):
    """In float32 what is missing from a converged marginal is exactly 0 on one side or on both."""
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        cost = torch.rand(4, *heads, generator=generator) * 0.05
        cost.requires_grad_()
        weight = torch.randn(4, *heads, generator=generator)
        (transport_plan(cost) * weight).sum().backward()
        assert cost.grad is not None
        assert cost.grad.abs().max() < 50  # at most 1 / epsilon times a mass of at most 1, and weights of 3


@pytest.mark.parametrize("epsilon", [0.0, -1.0])
def test_epsilon_must_be_above_zero(epsilon):
    case = make_case("H < G")
    with pytest.raises(ValueError, match="epsilon must be above 0"):
        sinkhorn_loss(case.teacher_BHQK, case.student_BGQK, epsilon=epsilon)
