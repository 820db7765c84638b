import math

import pytest
import torch
from torch.testing import assert_close

from amad_bench.losses import alignment_weights, build_loss, token_alignment_weights
from amad_bench.losses.diagnostics import alignment_entropy, changed_share, largest_weight
from tests.losses.cases import layer_trace, trace

ALIGNED = (
    ("amad", {"variant": "kl"}),
    ("amad", {"variant": "mse"}),
    ("amad", {"variant": "projected"}),
    ("amad", {"variant": "token"}),
    ("student_mean", {}),
    ("random_alignment", {}),
    ("hungarian", {}),
    ("sinkhorn", {}),
)


def test_entropy_is_in_nats_and_a_mean_over_teacher_heads():
    assert alignment_entropy(torch.eye(3)) == 0
    assert alignment_entropy(torch.full((2, 8), 1 / 8)) == pytest.approx(math.log(8))
    mixed = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    assert alignment_entropy(mixed) == pytest.approx(math.log(2) / 2)


def test_the_largest_weight():
    assert largest_weight(torch.tensor([[0.25, 0.75], [0.5, 0.5]])) == 0.75


def test_the_share_of_teacher_heads_whose_best_student_head_changed():
    before = torch.tensor([[0.6, 0.4], [0.6, 0.4], [0.1, 0.9], [0.2, 0.8]])
    after = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.3, 0.7]])
    assert changed_share(before, after) == 0.25
    assert changed_share(before, before) == 0
    with pytest.raises(ValueError, match=r"different heads: \(4, 2\) and \(4, 3\)"):
        changed_share(before, torch.zeros(4, 3))


@pytest.mark.parametrize(("name", "options"), ALIGNED)
def test_losses_that_align_heads_return_the_alignment(name, options):
    teacher = trace({"encoder.self": [layer_trace(4, seed=i) for i in range(3)]})
    student = trace({"encoder.self": [layer_trace(2, seed=i) for i in range(2)]})
    alignment = build_loss(name, layer_map="uniform", **options).outcome(teacher, student).alignment
    assert list(alignment) == ["encoder.self/0", "encoder.self/1"]
    for alignment_HG in alignment.values():
        assert alignment_HG.shape == (4, 2)
        assert not alignment_HG.requires_grad
        assert_close(alignment_HG.sum(1), torch.ones(4))
        assert 0 <= alignment_entropy(alignment_HG) <= math.log(2) + 1e-6


@pytest.mark.parametrize("variant", ["kl", "token"])
def test_samples_and_rows_without_a_valid_entry_do_not_count(variant):
    """The returned alignment is the mean over samples, for `token` over valid rows first."""
    query_mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [False] * 5])
    teacher, student = (layer_trace(heads, batch=3, query_mask_BQ=query_mask) for heads in (4, 2))
    outcome = build_loss("amad", variant=variant).outcome(trace({"a": [teacher]}), trace({"a": [student]}))
    maps = teacher.probs_BHQK(), student.probs_BHQK()
    if variant == "kl":
        weights_BHG = alignment_weights(*maps, query_mask_BQ=query_mask)
        expected = weights_BHG[:2].mean(0)
    else:
        weights_BQHG = token_alignment_weights(*maps, query_mask_BQ=query_mask)
        expected = (weights_BQHG[0].mean(0) + weights_BQHG[1, :3].mean(0)) / 2
    assert_close(outcome.alignment["a/0"], expected.detach())


def test_an_assignment_is_the_share_of_samples_that_made_it():
    teacher, student = layer_trace(2, batch=4, seed=1), layer_trace(2, batch=4, seed=2)
    outcome = build_loss("hungarian").outcome(trace({"a": [teacher]}), trace({"a": [student]}))
    share_HG = outcome.alignment["a/0"]
    assert_close(share_HG * 4, (share_HG * 4).round())
    assert_close(share_HG.sum(0), torch.ones(2))  # one to one in every sample
