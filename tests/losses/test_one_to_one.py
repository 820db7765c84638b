import pytest
import torch

from amad_bench.losses import one_to_one_loss
from tests.losses.cases import make_case, value_and_gradients


@pytest.mark.trap("one-to-one-1")
def test_different_head_counts_are_refused_with_both_counts():
    case = make_case("H < G")
    with pytest.raises(ValueError, match=r"teacher has 2 heads and the student 5; set drop='extra'"):
        one_to_one_loss(case.teacher_BHQK, case.student_BGQK)


@pytest.mark.trap("one-to-one-1")
def test_dropped_heads_change_nothing_and_get_no_gradient():
    case = make_case("H < G", "all")
    _, _, gradient = value_and_gradients(
        one_to_one_loss, case.teacher_BHQK, case.student_BGQK, **case.masks, drop="extra"
    )
    assert torch.equal(gradient[:, 2:], torch.zeros_like(gradient[:, 2:]))
    kept = one_to_one_loss(case.teacher_BHQK, case.student_BGQK[:, :2], **case.masks)
    assert torch.equal(
        kept, one_to_one_loss(case.teacher_BHQK, case.student_BGQK, **case.masks, drop="extra")
    )


@pytest.mark.parametrize("distance", ["kl", "mse"])
def test_a_copy_of_the_teacher_is_at_the_optimum(distance):
    maps = make_case("H = G, square").teacher_BHQK
    value, _, gradient = value_and_gradients(one_to_one_loss, maps, maps, distance=distance)
    assert abs(value.item()) < 1e-14
    # On distributions: only differences within a row count.
    assert (gradient - gradient.mean(-1, keepdim=True)).abs().max() < 1e-12


def test_the_order_of_heads_matters():
    case = make_case("H = G, square")
    swapped = case.student_BGQK[:, [1, 0, 2, 3]]
    assert one_to_one_loss(case.teacher_BHQK, swapped) != one_to_one_loss(
        case.teacher_BHQK, case.student_BGQK
    )
