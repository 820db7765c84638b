import numpy as np
import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from amad_bench.losses import build_loss, one_to_one_loss, random_alignment_loss, student_mean_loss
from amad_bench.losses.random_alignment import random_alignment_weights
from tests.losses.cases import layer_trace, make_case, trace


def traces():
    teacher = trace({site: [layer_trace(4, seed=i) for i in range(2)] for site in ("a", "b")})
    student = trace({site: [layer_trace(2, seed=i + 5) for i in range(2)] for site in ("a", "b")})
    return teacher, student


@pytest.mark.trap("random-alignment-1")
def test_rows_are_uniform_over_the_simplex():
    """A coordinate of Dirichlet(1) over G heads is Beta(1, G - 1)."""
    weights_HG = random_alignment_weights(4000, 3, seed=0, key="a/0/0")
    assert_close(weights_HG.sum(1), torch.ones(4000, dtype=torch.float64))
    for coordinate in weights_HG.T.numpy():
        assert stats.kstest(coordinate, stats.beta(1, 2).cdf).pvalue > 0.01
    assert abs(np.corrcoef(weights_HG[:, 0], weights_HG[:, 1])[0, 1] + 0.5) < 0.05  # -1 / (G - 1)


@pytest.mark.trap("random-alignment-1")
def test_weights_are_drawn_once_per_site_and_layer_from_the_seed():
    teacher, student = traces()
    loss = build_loss("random_alignment", layer_map="uniform", seed=3)
    outcome = loss.outcome(teacher, student)
    first, drawn = outcome.parts["attention"], outcome.alignment
    assert set(drawn) == {"a/0", "a/1", "b/0", "b/1"}
    assert len({tuple(weights.flatten().tolist()) for weights in drawn.values()}) == 4
    torch.manual_seed(99)
    assert torch.equal(loss(teacher, student)["attention"], first)
    again = build_loss("random_alignment", layer_map="uniform", seed=3)
    assert torch.equal(again(teacher, student)["attention"], first)
    other = build_loss("random_alignment", layer_map="uniform", seed=4)
    assert not torch.equal(other(teacher, student)["attention"], first)


def test_drawing_leaves_the_global_generators_alone():
    teacher, student = traces()
    before = torch.get_rng_state()
    build_loss("random_alignment", seed=1)(teacher, student)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("distance", ["kl", "mse"])
def test_special_weights_are_other_losses(distance):
    case = make_case("H = G, square", "all")
    maps = case.teacher_BHQK, case.student_BGQK
    uniform = torch.full((4, 4), 0.25, dtype=torch.float64)
    assert_close(
        random_alignment_loss(*maps, uniform, **case.masks, distance=distance),
        student_mean_loss(*maps, **case.masks, distance=distance),
    )
    assert_close(
        random_alignment_loss(*maps, torch.eye(4), **case.masks, distance=distance),
        one_to_one_loss(*maps, **case.masks, distance=distance),
    )


def test_weights_of_other_head_counts_are_refused():
    case = make_case("H < G")
    with pytest.raises(ValueError, match=r"weights_HG has the shape \(5, 2\), expected \(2, 5\)"):
        random_alignment_loss(case.teacher_BHQK, case.student_BGQK, torch.ones(5, 2))
