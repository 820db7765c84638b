"""ce and logit_kd against loops, and at the edges of their domain."""

import math

import pytest
import torch
from torch.testing import assert_close

from amad_bench.losses import build_loss, ce_loss, logit_kd_loss
from amad_bench.models.attention.trace import Trace
from tests.losses import naive
from tests.losses.cases import value_and_gradients

LABELS = torch.tensor([[4, 0, -100, -100], [1, -100, 2, 3], [-100] * 4])


WEIGHTS = torch.tensor([0.3, 1.0, 0.6], dtype=torch.float64)


def random_logits(seed, vocabulary=5):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(3, 4, vocabulary, generator=generator, dtype=torch.float64)


def ce_of_pair(_, student, labels):
    return ce_loss(student, labels)


def naive_ce_of_pair(_, student, labels):
    return naive.ce(student, labels)


def weighted_ce_of_pair(_, student, labels):
    return ce_loss(student, labels, sample_weight_B=WEIGHTS)


def naive_weighted_ce_of_pair(_, student, labels):
    """VL-T5's VQA training step, sample by sample."""
    total = 0.0
    for logits_LV, labels_L, weight in zip(student, labels.tolist(), WEIGHTS.tolist(), strict=True):
        tokens = [
            torch.log(sum(torch.exp(z) for z in logits_V)) - logits_V[label]
            for logits_V, label in zip(logits_LV, labels_L, strict=True)
            if label != -100
        ]
        if tokens:
            total = total + weight * sum(tokens) / len(tokens)
    return total / len(labels)


CASES = {
    "ce": (ce_of_pair, naive_ce_of_pair, {}),
    "ce, weighted samples": (weighted_ce_of_pair, naive_weighted_ce_of_pair, {}),
    "logit_kd": (logit_kd_loss, naive.logit_kd, {}),
    "logit_kd, tau .7": (logit_kd_loss, naive.logit_kd, {"temperature": 0.7}),
}


@pytest.mark.trap("logit-kd-1")
@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient_agree_with_loops(case):
    function, oracle, options = CASES[case]
    pair = random_logits(0), random_logits(1)
    got = value_and_gradients(function, *pair, LABELS, scale=2.5, **options)
    assert_close(
        got, value_and_gradients(oracle, *pair, LABELS, scale=2.5, **options), rtol=1e-10, atol=1e-13
    )


@pytest.mark.trap("logit-kd-1")
@pytest.mark.parametrize("case", CASES)
def test_ignored_tokens_may_have_any_logits(case):
    function, _, options = CASES[case]
    teacher, student = random_logits(0), random_logits(1)
    expected = value_and_gradients(function, teacher, student, LABELS, **options)
    ignored = LABELS == -100
    teacher[ignored], student[ignored] = math.inf, math.nan
    assert_close(value_and_gradients(function, teacher, student, LABELS, **options), expected, rtol=0, atol=0)


@pytest.mark.parametrize("case", CASES)
def test_no_label_at_all_is_zero_with_zero_gradient(case):
    function, _, options = CASES[case]
    got = value_and_gradients(
        function, random_logits(0), random_logits(1), torch.full_like(LABELS, -100), **options
    )
    assert all(torch.equal(x, torch.zeros_like(x)) for x in got)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_lower_precision_is_computed_in_float32(case, dtype):
    function, oracle, options = CASES[case]
    teacher, student = random_logits(0).to(dtype), random_logits(1).to(dtype)
    value = function(teacher, student, LABELS, **options)
    assert value.dtype == torch.float32
    assert_close(
        value.double(), oracle(teacher.double(), student.double(), LABELS, **options), rtol=2e-6, atol=0
    )


@pytest.mark.trap("vlt5-16")
def test_equal_weights_differ_from_no_weights_where_lengths_do():
    """Two tokens of 1 nat in one sample, one of 4 in the other: 2.5 by samples, 2 by tokens."""
    logits = torch.tensor([[1.0, 1.0], [4.0, 0.0]])
    logits = torch.stack([torch.zeros_like(logits), torch.log(torch.expm1(logits))], dim=-1).double()
    labels = torch.tensor([[0, 0], [0, -100]])
    assert ce_loss(logits, labels).item() == pytest.approx(2.0, abs=1e-6)
    assert ce_loss(logits, labels, sample_weight_B=torch.ones(2)).item() == pytest.approx(2.5, abs=1e-6)


def test_only_the_cross_entropy_of_a_trace_is_weighted():
    traces = [
        Trace(random_logits(seed), LABELS, sample_weight_B=weight)
        for seed, weight in ((0, None), (1, WEIGHTS))
    ]
    parts = build_loss("ce")(*traces) | build_loss("logit_kd")(*traces)
    assert_close(parts["ce"], naive_weighted_ce_of_pair(None, random_logits(1), LABELS))
    assert_close(parts["logit_kd"], naive.logit_kd(random_logits(0), random_logits(1), LABELS))


def test_one_weight_per_sample():
    with pytest.raises(ValueError, match=r"sample weights \(4,\) and labels \(3, 4\)"):
        ce_loss(random_logits(0), LABELS, sample_weight_B=torch.ones(4))


def test_a_teacher_certain_beyond_float32_is_finite():
    teacher, student = torch.tensor([[[500.0, -500.0]]]), torch.tensor([[[-500.0, 500.0]]])
    value, *gradients = value_and_gradients(logit_kd_loss, teacher, student, torch.tensor([[0]]))
    assert_close(value.item(), 2.0**2 * 500.0)  # KL = (z_0 - z_1) / tau = 500 nats of the student's own scale
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_equal_logits_are_at_the_optimum():
    logits = random_logits(0)
    value, _, gradient = value_and_gradients(logit_kd_loss, logits, logits + 3.0, LABELS)
    assert abs(value.item()) < 1e-12  # a shift of all logits is the same distribution
    assert gradient.abs().max() < 1e-12


def test_different_vocabularies_are_refused_with_both_sizes():
    with pytest.raises(ValueError, match="teacher's has 5 entries and the student's 6"):
        logit_kd_loss(random_logits(0), random_logits(0, vocabulary=6), LABELS)


def test_shapes_and_temperature_are_checked():
    with pytest.raises(ValueError, match=r"\(3, 3, 5\).*\(3, 4, 5\)"):
        logit_kd_loss(random_logits(0)[:, 1:], random_logits(0), LABELS)
    with pytest.raises(ValueError, match=r"logits \(3, 4, 5\) and labels \(3, 3\)"):
        ce_loss(random_logits(0), LABELS[:, 1:])
    with pytest.raises(ValueError, match="temperature must be above 0"):
        logit_kd_loss(random_logits(0), random_logits(0), LABELS, temperature=0.0)
