import pytest
import torch

from amad_bench.losses import one_to_one_loss, student_mean_loss
from tests.losses.cases import make_case


@pytest.mark.trap("student-mean-1")
def test_every_teacher_head_sees_the_mean_of_student_heads():
    """KL(t_h || mean of students) is the one-to-one loss against a student whose heads all are that mean."""
    case = make_case("H < G")
    mean = case.student_BGQK.mean(1, keepdim=True).expand_as(case.teacher_BHQK)
    expected = one_to_one_loss(case.teacher_BHQK, mean)
    torch.testing.assert_close(
        student_mean_loss(case.teacher_BHQK, case.student_BGQK), expected, rtol=1e-12, atol=0
    )
