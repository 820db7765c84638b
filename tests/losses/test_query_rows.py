"""Sampled query rows: which ones, how often, and what they estimate."""

import numpy as np
import pytest
import torch

from amad_bench.losses import build_loss
from amad_bench.plan.catalogue import LOSSES
from tests.losses.kernels.test_by_samples import layer, whole

BY_ROWS = {
    "token": ("amad", {"variant": "token"}),
    "one_to_one": ("one_to_one", {"drop": "extra"}),
    "head_mean": ("head_mean", {}),
    "student_mean": ("student_mean", {}),
}


def pair(queries=12):
    sizes = {"queries": queries, "keys": 7}
    return layer(3, 8, seed=1, grad=False, **sizes), layer(4, 6, seed=2, bias=True, **sizes)


def value(loss, teacher, student, numbers=None):
    trace = whole(student)
    trace.sample_numbers = None if numbers is None else np.asarray(numbers)
    return loss(whole(teacher), trace)["attention"]


def draws(name, options, times=400):
    teacher, student = pair()
    loss = build_loss(name, query_rows=4, seed=5, **options)
    with torch.no_grad():
        found = torch.stack([value(loss, teacher, student) for _ in range(times)])
        full = value(build_loss(name, **options), teacher, student)
    return found, full


@pytest.mark.trap("query-rows-1")
@pytest.mark.parametrize("method", BY_ROWS)
def test_the_mean_over_draws_is_the_full_loss(method):
    found, full = draws(*BY_ROWS[method])
    error = found.std() / len(found) ** 0.5
    assert error > 0
    assert abs(found.mean() - full) <= 3 * error


def test_kl_is_a_ratio_estimate_near_the_full_loss():
    """Its alignment is one of the drawn rows, so its mean need not be the full loss; here it is 5 % near."""
    found, full = draws("amad", {"variant": "kl"})
    assert found.mean().item() == pytest.approx(full.item(), rel=0.05)


def test_a_sample_with_no_more_valid_rows_than_asked_for_gives_the_full_loss():
    teacher, student = pair(queries=12)
    student.query_mask_BQ[:] = False
    student.query_mask_BQ[0, [1, 5, 6]] = True
    student.query_mask_BQ[1, 11] = True
    teacher.query_mask_BQ[:] = True
    for name, options in [*BY_ROWS.values(), ("amad", {})]:
        full = value(build_loss(name, **options), teacher, student)
        for rows in (3, 12, 40):
            some = value(build_loss(name, query_rows=rows, **options), teacher, student)
            assert some.item() == pytest.approx(full.item(), rel=1e-12)


@pytest.mark.parametrize("kernel", ["dense", "chunked"])
def test_gradients_reach_the_drawn_rows_alone_and_all_of_the_bias_they_read(kernel):
    teacher, student = pair()
    teacher.query_mask_BQ[:] = student.query_mask_BQ[:] = True
    loss = build_loss("head_mean", query_rows=4, kernel=kernel)
    value(loss, teacher, student, numbers=[1, 2, 3]).backward()
    touched_BQ = student.query_BHQD.grad.abs().sum((1, 3)) > 0
    assert touched_BQ.sum(1).tolist() == [4, 4, 4]
    assert not torch.equal(touched_BQ[0], touched_BQ[1])
    of_bias = student.bias_BHQK.grad.abs().sum((0, 1, 3)) > 0
    assert torch.equal(of_bias, touched_BQ.any(0))


@pytest.mark.trap("query-rows-2")
def test_a_samples_rows_depend_on_its_number_alone_not_on_the_batch():
    teacher, student = pair()
    teacher.query_mask_BQ[:] = student.query_mask_BQ[:] = True
    loss = build_loss("head_mean", query_rows=4, seed=3)
    state = torch.get_rng_state()

    def of_sample(index, numbers):
        student.query_BHQD.grad = None
        value(loss, teacher, student, numbers).backward()
        return (student.query_BHQD.grad[index].abs().sum((0, 2)) > 0).tolist()

    assert of_sample(0, [7, 8, 9]) == of_sample(2, [1, 2, 7])
    assert of_sample(0, [7, 8, 9]) != of_sample(1, [7, 8, 9])
    assert torch.equal(state, torch.get_rng_state())  # dropout's


def test_a_loaded_state_goes_on_with_the_draws():
    teacher, student = pair()
    first, second = (build_loss("amad", variant="token", query_rows=4) for _ in range(2))
    for _ in range(3):
        value(first, teacher, student)
    second.load_state_dict(first.state_dict())
    expected = [value(first, teacher, student).item() for _ in range(3)]
    assert [value(second, teacher, student).item() for _ in range(3)] == expected
    assert len(set(expected)) == 3


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("amad", {"variant": "mse"}, "rows cannot stand for the whole map"),
        ("amad", {"variant": "projected"}, "rows cannot stand for the whole map"),
        ("amad", {"row_reduction": "sum"}, "estimates the mean over rows"),
        ("head_mean", {"distance": "mse"}, "rows cannot stand for the whole map"),
    ],
)
def test_what_rows_cannot_estimate_is_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        build_loss(name, query_rows=8, **options)


def test_it_has_a_label_and_a_version_of_its_own():
    loss = LOSSES["amad"]
    assert loss.label({"query_rows": 128}) == "amad_kl-rows128"
    assert loss.label({"query_rows": 0}) == "amad_kl"
    assert loss.versions({"query_rows": 128}) == {"query_rows": 1}
    assert loss.versions({}) == {}
