import pytest
from torch.testing import assert_close

from amad_bench.losses import head_mean_loss, one_to_one_loss
from tests.losses.cases import make_case


@pytest.mark.trap("head-mean-1")
@pytest.mark.parametrize("distance", ["kl", "mse"])
def test_it_is_the_one_to_one_distance_of_the_two_means(distance):
    case = make_case("H < G")
    expected = one_to_one_loss(
        case.teacher_BHQK.mean(1, keepdim=True), case.student_BGQK.mean(1, keepdim=True), distance=distance
    )
    assert_close(head_mean_loss(case.teacher_BHQK, case.student_BGQK, distance=distance), expected)


def test_it_cannot_tell_heads_apart():
    """Two teacher heads against two copies of their mean: no distance."""
    case = make_case("H < G")
    copies = case.teacher_BHQK.mean(1, keepdim=True).expand(-1, 2, -1, -1)
    assert abs(head_mean_loss(case.teacher_BHQK, copies).item()) < 1e-12
    assert one_to_one_loss(case.teacher_BHQK, copies) > 0.1
