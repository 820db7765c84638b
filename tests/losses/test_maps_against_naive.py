"""Values and gradients of all map losses against loops in float64, with garbage in every masked entry."""

import inspect
from functools import wraps

import pytest
import torch
from torch.testing import assert_close

from amad_bench.losses import (
    amad_loss,
    head_mean_loss,
    hungarian_loss,
    one_to_one_loss,
    random_alignment_loss,
    sinkhorn_loss,
    student_mean_loss,
)
from tests.losses import naive
from tests.losses.cases import MASKS, SHAPES, make_case, value_and_gradients


def projection_for(queries, keys):
    """A layer with negative numbers, so that ReLU cuts some entries off."""
    entries = queries * keys
    generator = torch.Generator().manual_seed(entries)
    weight_nn = torch.randn(entries, entries, generator=generator, dtype=torch.float64) / entries**0.5
    return torch.eye(entries) + weight_nn, torch.linspace(-0.3, 0.5, entries, dtype=torch.float64)


def weights_for(teacher_heads, student_heads):
    generator = torch.Generator().manual_seed(10 * teacher_heads + student_heads)
    return torch.randn(teacher_heads, student_heads, generator=generator, dtype=torch.float64).softmax(-1)


def with_projection(function):
    @wraps(function)
    def projected(teacher, *args, **options):
        options = {"variant": "projected", **options}
        return function(teacher, *args, projection=projection_for(*teacher.shape[-2:]), **options)

    return projected


def with_weights(function, position):
    @wraps(function)
    def weighted(teacher, student, *args, **options):
        weights_HG = weights_for(teacher.shape[1], student.shape[1])
        return function(teacher, student, *args[:position], weights_HG, **options)

    return weighted


FUNCTIONS = {
    "amad": amad_loss,
    "projected": with_projection(amad_loss),
    "one_to_one": one_to_one_loss,
    "head_mean": head_mean_loss,
    "student_mean": student_mean_loss,
    "random_alignment": with_weights(random_alignment_loss, 0),
    "hungarian": hungarian_loss,
    "sinkhorn": sinkhorn_loss,
}
ORACLES = {
    **{name: getattr(naive, name) for name in FUNCTIONS if hasattr(naive, name)},
    "projected": with_projection(naive.amad),
    "random_alignment": with_weights(naive.random_alignment, 1),
}
DEFAULTS = (
    ("amad", {}),
    ("amad", {"variant": "mse"}),
    ("one_to_one", {"drop": "extra"}),
    ("one_to_one", {"drop": "extra", "distance": "mse"}),
    ("student_mean", {}),
    ("student_mean", {"distance": "mse"}),
    ("amad", {"variant": "token"}),
    ("projected", {}),
    ("head_mean", {}),
    ("head_mean", {"distance": "mse"}),
    ("random_alignment", {}),
    ("random_alignment", {"distance": "mse"}),
    ("hungarian", {}),
    ("hungarian", {"distance": "mse"}),
    ("sinkhorn", {}),
    ("sinkhorn", {"distance": "mse"}),
)
OPTIONS = (
    ("amad", {"similarity": "l1"}),
    ("amad", {"temperature": 0.3}),
    ("amad", {"detach_alignment": True}),
    ("amad", {"head_reduction": "mean"}),
    ("amad", {"row_reduction": "sum"}),
    ("amad", {"variant": "mse", "similarity": "l1", "temperature": 2.5}),
    ("amad", {"variant": "mse", "detach_alignment": True}),
    ("amad", {"variant": "mse", "head_reduction": "mean"}),
    ("one_to_one", {"drop": "extra", "head_reduction": "mean"}),
    ("one_to_one", {"drop": "extra", "distance": "mse", "head_reduction": "mean"}),
    ("student_mean", {"head_reduction": "mean"}),
    ("student_mean", {"distance": "mse", "head_reduction": "mean"}),
    *(
        (name, {**variant, **options})
        for name, variant in (("amad", {"variant": "token"}), ("projected", {}))
        for options in (
            {"similarity": "l1"},
            {"temperature": 0.3},
            {"detach_alignment": True},
            {"head_reduction": "mean"},
            {"row_reduction": "sum"},
            {"row_reduction": "sum", "similarity": "l1", "temperature": 2.5, "detach_alignment": True},
        )
    ),
    ("random_alignment", {"head_reduction": "mean"}),
    ("hungarian", {"head_reduction": "mean"}),
    ("hungarian", {"distance": "mse", "head_reduction": "mean"}),
    ("sinkhorn", {"epsilon": 0.5}),
    ("sinkhorn", {"detach_alignment": True}),
    ("sinkhorn", {"distance": "mse", "detach_alignment": True, "head_reduction": "mean"}),
)


def label(value):
    if isinstance(value, dict):
        return ",".join(f"{key}={option}" for key, option in value.items()) or "defaults"
    return None


def assert_agrees(name, options, case, scale=1.0):
    """Value and both gradients within 1e-9, and gradients of exactly 0 where nothing is valid."""
    pair = case.teacher_BHQK, case.student_BGQK
    got = value_and_gradients(FUNCTIONS[name], *pair, scale=scale, **case.masks, **options)
    expected = value_and_gradients(ORACLES[name], *pair, case.valid_BQK, scale=scale, **options)
    assert_close(got, expected, rtol=1e-9, atol=1e-11)
    for gradient in got[1:]:
        masked = gradient[~case.valid_BQK[:, None].expand_as(gradient)]
        assert torch.equal(masked, torch.zeros_like(masked))


@pytest.mark.trap("amad-6")
@pytest.mark.trap("amad-8")
@pytest.mark.trap("amad-18")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "options"), DEFAULTS, ids=label)
def test_every_shape(name, options, shape):
    assert_agrees(name, options, make_case(shape, "all"))


@pytest.mark.trap("amad-1")
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(("name", "options"), DEFAULTS, ids=label)
def test_every_mask(name, options, mask):
    assert_agrees(name, options, make_case("H = G, square", mask))


@pytest.mark.trap("amad-9")
@pytest.mark.trap("amad-15")
@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=label)
def test_every_option(name, options):
    assert_agrees(name, options, make_case("H < G", "query"))


@pytest.mark.parametrize(("name", "options"), DEFAULTS, ids=label)
def test_an_upstream_gradient_scales_the_gradient(name, options):
    assert_agrees(name, options, make_case("H < G", "key"), scale=-3.7)


@pytest.mark.parametrize("mask", ["none", "key"])
@pytest.mark.parametrize(("name", "options"), [*DEFAULTS, ("amad", {"similarity": "l1"})], ids=label)
def test_gradients_agree_with_finite_differences(name, options, mask):
    case = make_case("one query", mask, seed=3)
    valid = case.valid_BQK[:, None]  # finite differences cannot step from NaN: garbage is tested above
    teacher = torch.where(valid, case.teacher_BHQK, 0.3).requires_grad_()
    student = torch.where(valid, case.student_BGQK, 0.3).requires_grad_()
    torch.autograd.gradcheck(
        lambda t, s: FUNCTIONS[name](t, s, **case.masks, **options), (teacher, student), eps=1e-7, atol=1e-6
    )


# Inputs are rounded first: only the arithmetic (float32) and the rounding of gradients to the dtype differ.
@pytest.mark.parametrize(
    ("dtype", "gradient_rtol"),
    [(torch.float32, 1e-4), (torch.bfloat16, 1e-2), (torch.float16, 2e-3)],
    ids=str,
)
@pytest.mark.parametrize(("name", "options"), DEFAULTS, ids=label)
def test_lower_precision_inputs_are_computed_in_float32(name, options, dtype, gradient_rtol):
    case = make_case("H = G, square", "all", sharpness=1.0)
    teacher, student = case.teacher_BHQK.to(dtype), case.student_BGQK.to(dtype)
    got = value_and_gradients(FUNCTIONS[name], teacher, student, **case.masks, **options)
    expected = value_and_gradients(
        ORACLES[name], teacher.double(), student.double(), case.valid_BQK, **options
    )
    assert got[0].dtype == torch.float32
    assert_close(got[0].double(), expected[0], rtol=2e-6, atol=1e-6)
    for gradient, reference in zip(got[1:], expected[1:], strict=True):
        assert gradient.dtype == dtype
        assert_close(gradient.double(), reference, rtol=gradient_rtol, atol=gradient_rtol / 10)


@pytest.mark.parametrize(("name", "options"), DEFAULTS, ids=label)
def test_autocast_changes_nothing(name, options):
    case = make_case("H = G, square", "all")
    pair = case.teacher_BHQK.float(), case.student_BGQK.float()
    plain = value_and_gradients(FUNCTIONS[name], *pair, **case.masks, **options)

    def under_autocast(teacher, student):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return FUNCTIONS[name](teacher, student, **case.masks, **options)

    assert_close(value_and_gradients(under_autocast, *pair), plain, rtol=0, atol=0)


@pytest.mark.parametrize(("name", "options"), DEFAULTS, ids=label)
def test_one_double_input_makes_the_loss_double(name, options):
    case = make_case("H = G, square")
    loss = FUNCTIONS[name](case.teacher_BHQK, case.student_BGQK.float(), **options)
    assert loss.dtype == torch.float64


@pytest.mark.trap("amad-4")
@pytest.mark.parametrize(("name", "options"), DEFAULTS, ids=label)
def test_one_hot_rows_and_zero_mass_are_finite(name, options):
    """One-hot teachers, and students without any mass where the teacher has all of it."""
    eye = torch.eye(4)
    teacher = eye.expand(2, 3, 4, 4)
    student = eye.flip(0).expand(2, 3, 4, 4)
    value, *gradients = value_and_gradients(FUNCTIONS[name], teacher, student, **options)
    assert torch.isfinite(value)
    assert value > 1  # nothing in common: at least 27.6 nats a head, or a distance of 2
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.trap("amad-4")
def test_mass_where_no_student_has_any_costs_the_floor():
    """KL of a one-hot teacher to a student elsewhere: log(1 / 1e-12) per head, by the floor."""
    teacher, student = torch.eye(2)[None, None], torch.eye(2).flip(0)[None, None]
    assert_close(amad_loss(teacher, student), torch.tensor(12 * 2.302585093), rtol=1e-6, atol=0)


@pytest.mark.trap("amad-2")
@pytest.mark.parametrize(("name", "options"), DEFAULTS, ids=label)
def test_a_sample_without_a_valid_entry_leaves_the_mean(name, options):
    case = make_case("H = G, square", "empty sample")
    query_mask = case.masks["query_mask_BQ"]
    kept = FUNCTIONS[name](
        case.teacher_BHQK[1:], case.student_BGQK[1:], query_mask_BQ=query_mask[1:], **options
    )
    whole = FUNCTIONS[name](case.teacher_BHQK, case.student_BGQK, query_mask_BQ=query_mask, **options)
    assert_close(whole, kept, rtol=1e-12, atol=0)


@pytest.mark.trap("amad-3")
@pytest.mark.parametrize(("name", "options"), DEFAULTS, ids=label)
def test_no_valid_entry_at_all_is_zero_with_zero_gradient(name, options):
    case = make_case("H = G, square", "all")
    nothing = torch.zeros_like(case.masks["key_mask_BK"])
    got = value_and_gradients(
        FUNCTIONS[name], case.teacher_BHQK, case.student_BGQK, key_mask_BK=nothing, **options
    )
    assert all(torch.equal(x, torch.zeros_like(x)) for x in got)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_maps_that_differ_in_more_than_heads_are_refused(name):
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 5\) and student maps \(2, 3, 4, 6\)"):
        FUNCTIONS[name](torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 6))
    with pytest.raises(ValueError, match=r"\(2, 4, 5\)"):
        FUNCTIONS[name](torch.rand(2, 4, 5), torch.rand(2, 4, 5))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"query_mask_BQ": torch.ones(2, 5, dtype=torch.bool)}, r"query_mask_BQ .*\(2, 5\).*\(2, 4\)"),
        ({"key_mask_BK": torch.ones(2, 4, dtype=torch.bool)}, r"key_mask_BK .*\(2, 4\).*\(2, 5\)"),
        ({"cell_mask_QK": torch.ones(5, 4, dtype=torch.bool)}, r"cell_mask_QK .*\(5, 4\).*\(4, 5\)"),
        ({"key_mask_BK": torch.ones(2, 5, dtype=torch.int64)}, r"must be bool .*mask\.bool\(\)"),
        ({"cell_mask_QK": torch.ones(2, 3, 4, 5, dtype=torch.bool)}, r"one mask per head is not supported"),
    ],
    ids=["query shape", "key shape", "entry shape", "integers", "per head"],
)
def test_masks_that_do_not_fit_are_refused(name, masks, message):
    with pytest.raises(ValueError, match=message):
        FUNCTIONS[name](torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5), **masks)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_samples_may_have_entries_of_their_own(name):
    """A mask (B, 1, Q, K), here what the three masks say together."""
    case = make_case("H = G, square", "all")
    pair, mask_B1QK = (case.teacher_BHQK, case.student_BGQK), case.valid_BQK[:, None]
    got = value_and_gradients(FUNCTIONS[name], *pair, cell_mask_QK=mask_B1QK)
    assert_close(got, value_and_gradients(FUNCTIONS[name], *pair, **case.masks), rtol=0, atol=0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_misspelt_choice_is_answered_with_the_choices(name):
    maps = torch.rand(2, 3, 4, 5).softmax(-1)
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    for option in {"variant", "distance", "similarity", "head_reduction", "row_reduction", "drop"} & set(
        parameters
    ):
        right = parameters[option].default
        with pytest.raises(
            ValueError, match=rf"unknown {option} '{right}x'; available: .*Did you mean '{right}'\?"
        ):
            FUNCTIONS[name](maps, maps, **{option: right + "x"})
