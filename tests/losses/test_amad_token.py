import pytest
import torch
from torch.testing import assert_close

from amad_bench.losses import amad_loss, student_mean_loss, token_alignment_weights
from tests.losses import naive
from tests.losses.cases import make_case


@pytest.mark.trap("amad-12")
@pytest.mark.parametrize("similarity", ["cosine", "l1"])
@pytest.mark.parametrize("temperature", [1.0, 0.2])
def test_each_row_has_the_weights_of_a_map_of_one_query(similarity, temperature):
    case = make_case("H < G", "all")
    weights_BQHG = token_alignment_weights(
        case.teacher_BHQK, case.student_BGQK, **case.masks, similarity=similarity, temperature=temperature
    )
    assert weights_BQHG.shape == (2, 3, 2, 5)
    for b in range(2):
        for q in range(3):
            row = slice(q, q + 1)
            valid = case.valid_BQK[b, row]
            expected = torch.full((2, 5), 0.2, dtype=torch.float64)  # a row without a valid entry: 1/G
            if valid.any():
                t, s = case.teacher_BHQK[b, :, row], case.student_BGQK[b, :, row]
                expected = torch.tensor(naive.alignment(t, s, valid, similarity, temperature))
            assert_close(weights_BQHG[b, q], expected.double(), rtol=1e-6, atol=1e-7)


def test_one_query_is_aligned_as_by_kl():
    case = make_case("one query", "key")
    pair = case.teacher_BHQK, case.student_BGQK
    assert_close(amad_loss(*pair, **case.masks, variant="token"), amad_loss(*pair, **case.masks))


@pytest.mark.trap("amad-12")
def test_rows_may_prefer_different_student_heads():
    """Two heads that swap roles between two rows: whole maps are equally similar, rows are not."""
    eye = torch.eye(2, dtype=torch.float64)
    teacher = torch.stack([eye, eye.flip(0)])[None]
    student = torch.stack([eye[[0, 0]], eye[[1, 1]]])[None]
    maps = teacher, student
    assert_close(amad_loss(*maps), student_mean_loss(*maps))
    assert amad_loss(*maps, variant="token") < student_mean_loss(*maps) - 0.5


@pytest.mark.trap("amad-13")
def test_the_printed_sum_over_rows_is_the_mean_times_the_rows():
    case = make_case("H = G, square")
    pair = case.teacher_BHQK, case.student_BGQK
    mean = amad_loss(*pair, variant="token")
    assert_close(amad_loss(*pair, variant="token", row_reduction="sum"), 5 * mean, rtol=1e-12, atol=0)
