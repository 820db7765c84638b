import math
import sys

import pytest
import torch
from torch.testing import assert_close

from amad_bench.losses import build_loss, hungarian_loss, one_to_one_loss
from amad_bench.losses.hungarian import assign, pairwise_distances
from amad_bench.losses.maps import prepare
from tests.losses import naive
from tests.losses.cases import layer_trace, make_case, trace, value_and_gradients

ORDER = [2, 0, 3, 1]


@pytest.mark.trap("hungarian-1")
@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (6, 3), (5, 1), (1, 4)])
def test_the_assignment_is_the_best_of_all(shape):
    cost = torch.rand(20, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = [naive.best_assignment(cost_HG.tolist()) for cost_HG in cost]
    assert assign(cost).tolist() == expected


def test_it_is_better_than_the_nearest_head_for_each():
    """Both teacher heads are nearest to student head 0, but only one of them may have it."""
    assert assign(torch.tensor([[[0.0, 5.0], [1.0, 2.0]]])).tolist() == [[0, 1]]
    assert assign(torch.tensor([[[0.0, 5.0], [1.0, 9.0]]])).tolist() == [[1, 0]]  # 6 instead of 9


@pytest.mark.trap("hungarian-1")
def test_teacher_heads_left_over_go_to_their_nearest_student_head():
    assert assign(torch.tensor([[[0.1, 9.0], [0.2, 9.0], [9.0, 0.1], [3.0, 0.4]]])).tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize("distance", ["kl", "mse"])
@pytest.mark.parametrize("shape", ["one query", "H < G", "H = G, Q > K"])
def test_pairwise_distances_are_those_of_single_heads(shape, distance):
    case = make_case(shape, "query")
    maps = prepare(case.teacher_BHQK, case.student_BGQK, case.masks["query_mask_BQ"][:, None, :, None])
    got = pairwise_distances(maps, distance)
    for b, h, g in torch.cartesian_prod(*(torch.arange(n) for n in got.shape)).tolist():
        expected = one_to_one_loss(
            case.teacher_BHQK[b : b + 1, h : h + 1],
            case.student_BGQK[b : b + 1, g : g + 1],
            query_mask_BQ=case.masks["query_mask_BQ"][b : b + 1],
            distance=distance,
        )
        assert_close(got[b, h, g], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("distance", ["kl", "mse"])
def test_a_student_that_copies_the_heads_in_another_order_is_at_the_optimum(distance):
    maps = make_case("H = G, square").teacher_BHQK
    value, _, gradient = value_and_gradients(hungarian_loss, maps, maps[:, ORDER], distance=distance)
    assert abs(value.item()) < 1e-14
    assert (gradient - gradient.mean(-1, keepdim=True)).abs().max() < 1e-12


def test_each_sample_has_its_own_assignment():
    maps = make_case("H = G, square").teacher_BHQK
    student = torch.stack([maps[0, ORDER], maps[1], maps[2].flip(0)])
    assert abs(hungarian_loss(maps, student).item()) < 1e-14


def test_surplus_student_heads_get_no_gradient():
    case = make_case("H < G")
    _, _, gradient = value_and_gradients(hungarian_loss, case.teacher_BHQK, case.student_BGQK)
    assert (gradient.abs().sum((2, 3)) > 0).sum(1).tolist() == [2, 2]


def test_a_diverged_student_shows_in_the_loss():
    case = make_case("H = G, square")
    student = case.student_BGQK.clone()
    student[0, 1] = math.nan
    assert hungarian_loss(case.teacher_BHQK, student).isnan()


def test_without_scipy_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    teacher, student = trace({"a": [layer_trace(4)]}), trace({"a": [layer_trace(2)]})
    with pytest.raises(ImportError, match=r"'hungarian' needs scipy; pip install 'amad-bench\[pipeline\]'"):
        build_loss("hungarian")(teacher, student)
