"""Properties of AMAD that docs/methods.md names, and its interface."""

import inspect
import math

import pytest
import torch
from torch.testing import assert_close

from amad_bench.losses import alignment_weights, amad_loss, student_mean_loss, token_alignment_weights
from tests.losses import naive
from tests.losses.cases import SHAPES, make_case, random_maps, value_and_gradients

VARIANTS = ("kl", "mse", "token", "projected")


def projected_to_itself(variant, entries):
    """What the variant needs beside the maps: for `projected`, the projection that changes nothing."""
    identity = torch.eye(entries, dtype=torch.float64), torch.zeros(entries, dtype=torch.float64)
    return {"variant": variant, "projection": identity if variant == "projected" else None}


def distributions(batch, heads, queries, keys, seed=0):
    everything = torch.ones(batch, queries, keys, dtype=torch.bool)
    return random_maps(heads, everything, torch.Generator().manual_seed(seed))


def distinct_one_hot_heads(heads, queries, keys):
    """Head h attends to key h in every row: maps of different heads are orthogonal."""
    return torch.eye(keys, dtype=torch.float64)[:heads, None, :].expand(heads, queries, keys)[None]


@pytest.mark.trap("amad-15")
def test_the_interface_stays_put():
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(amad_loss).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    assert defaults == {
        "query_mask_BQ": None,
        "key_mask_BK": None,
        "cell_mask_QK": None,
        "variant": "kl",
        "similarity": "cosine",
        "temperature": 1.0,
        "detach_alignment": False,
        "head_reduction": "sum",
        "row_reduction": "mean",
        "projection": None,
    }


@pytest.mark.trap("amad-19")
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_order_of_heads_does_not_matter(variant):
    case = make_case("H < G", "all")
    permuted_teacher = case.teacher_BHQK[:, [1, 0]]
    permuted_student = case.student_BGQK[:, [3, 0, 4, 2, 1]]
    options = {**case.masks, **projected_to_itself(variant, 12)}
    loss = amad_loss(case.teacher_BHQK, case.student_BGQK, **options)
    permuted = amad_loss(permuted_teacher, permuted_student, **options)
    assert_close(permuted, loss, rtol=1e-12, atol=1e-12)


@pytest.mark.trap("map-6")
@pytest.mark.parametrize("variant", VARIANTS)
def test_masked_entries_may_hold_anything(variant):
    case = make_case("H = G, square", "all")
    valid = case.valid_BQK[:, None]
    options = {**case.masks, **projected_to_itself(variant, 25)}
    clean = amad_loss(
        torch.where(valid, case.teacher_BHQK, 0.0), torch.where(valid, case.student_BGQK, 0.0), **options
    )
    assert torch.equal(amad_loss(case.teacher_BHQK, case.student_BGQK, **options), clean)


@pytest.mark.trap("amad-20")
@pytest.mark.trap("amad-24")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("variant", VARIANTS)
def test_zero_when_all_heads_are_one_and_the_same_map(variant, dtype):
    """In float32 too: the Gram form is accumulated in float64, where float32 would leave up to 7e-5."""
    one = distributions(2, 1, 24, 24).to(dtype)
    loss = amad_loss(
        one.expand(-1, 8, -1, -1), one.expand(-1, 2, -1, -1), **projected_to_itself(variant, 24 * 24)
    )
    in_float32 = 1e-12 if variant == "mse" else 2e-6
    assert abs(loss.item()) < (in_float32 if dtype == torch.float32 else 1e-13)


@pytest.mark.trap("amad-21")
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_student_that_copies_distinct_heads_is_not_at_the_optimum(variant):
    maps = distributions(2, 3, 4, 6)
    loss, _, gradient = value_and_gradients(amad_loss, maps, maps, **projected_to_itself(variant, 24))
    assert loss > 0.01
    # Only directions that keep the rows distributions matter: the mean over a row's keys is removed.
    assert (gradient - gradient.mean(-1, keepdim=True)).abs().max() > 0.01


@pytest.mark.trap("amad-22")
@pytest.mark.parametrize("heads", [2, 3, 8])
def test_one_weight_is_at_most_e_over_e_plus_the_other_heads(heads):
    bound = math.e / (math.e + heads - 1)
    sharpest = distinct_one_hot_heads(heads, queries=3, keys=8)
    weights = alignment_weights(sharpest, sharpest)
    assert_close(weights.max().item(), bound, rtol=1e-12, atol=0)  # reached by orthogonal heads
    by_row = token_alignment_weights(sharpest, sharpest)
    assert_close(by_row.amax((0, 2, 3)), torch.full((3,), bound, dtype=torch.float64), rtol=1e-12, atol=0)
    random = distributions(4, 5, 3, 8), distributions(4, heads, 3, 8, 1)
    assert alignment_weights(*random).max() < bound
    assert token_alignment_weights(*random).max() < bound


@pytest.mark.trap("amad-22")
def test_the_published_alignment_among_eight_heads_is_at_most_280_thousandths():
    sharpest = distinct_one_hot_heads(8, queries=3, keys=8)
    assert round(alignment_weights(sharpest, sharpest).max().item(), 3) == 0.280
    assert alignment_weights(sharpest, sharpest, temperature=0.1).max() > 0.99


@pytest.mark.trap("amad-16")
@pytest.mark.parametrize(
    ("queries", "published"), [(1, 0.280), (2, 0.190), (4, 0.153), (20, 0.129), (56, 0.126)]
)
def test_l1_similarity_collapses_to_the_mean_of_student_heads(queries, published):
    """The similarity of equal maps is at most 1/Q, so the largest weight is e^(1/Q) / (e^(1/Q) + 7).

    Those of docs/methods.md#amad-16 were measured on maps that are not quite orthogonal: just below it.
    """
    sharpest = distinct_one_hot_heads(8, queries, keys=8)
    largest = alignment_weights(sharpest, sharpest, similarity="l1").max().item()
    assert_close(largest, math.exp(1 / queries) / (math.exp(1 / queries) + 7), rtol=1e-12, atol=0)
    assert published - 0.0005 < largest < published + 0.0025


@pytest.mark.trap("amad-24")
@pytest.mark.parametrize("shape", SHAPES)
def test_mse_equals_its_gram_form(shape):
    """The direct form of the formula (naive) against the Gram form of the package, in float32 inputs."""
    case = make_case(shape, "all")
    teacher, student = case.teacher_BHQK.float(), case.student_BGQK.float()
    direct = naive.amad(teacher.double(), student.double(), case.valid_BQK, variant="mse")
    gram = amad_loss(teacher, student, **case.masks, variant="mse")
    assert_close(gram.double(), direct, rtol=1e-6, atol=1e-7)


@pytest.mark.trap("amad-7")
def test_kl_of_flattened_maps_normalised_by_l1_is_that_of_rows():
    """t / |t|_1 is t / rows, so that KL of the flattened maps is the mean over rows; the mixture likewise."""
    teacher, student = distributions(3, 2, 4, 6), distributions(3, 5, 4, 6, seed=1)
    mixed = torch.einsum("bhg,bgqk->bhqk", alignment_weights(teacher, student), student)
    t, m = (maps.flatten(2) / maps.flatten(2).sum(-1, keepdim=True) for maps in (teacher, mixed))
    expected = (t * (t / m).log()).sum((1, 2)).mean()
    assert_close(amad_loss(teacher, student), expected, rtol=1e-12, atol=0)


@pytest.mark.trap("amad-5")
@pytest.mark.parametrize("similarity", ["cosine", "l1"])
@pytest.mark.parametrize("temperature", [1.0, 0.2])
def test_alignment_weights_are_those_of_the_formula(similarity, temperature):
    case = make_case("H < G", "all")
    weights_BHG = alignment_weights(
        case.teacher_BHQK, case.student_BGQK, **case.masks, similarity=similarity, temperature=temperature
    )
    assert weights_BHG.shape == (2, 2, 5)
    for b in range(2):
        expected = naive.alignment(
            case.teacher_BHQK[b], case.student_BGQK[b], case.valid_BQK[b], similarity, temperature
        )
        assert_close(weights_BHG[b], torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=0)


@pytest.mark.trap("amad-23")
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_high_temperature_is_the_student_mean(variant):
    case = make_case("H < G", "all")
    options = {**case.masks, **projected_to_itself(variant, 12)}
    hot = amad_loss(case.teacher_BHQK, case.student_BGQK, **options, temperature=1e9)
    distance = "mse" if variant == "mse" else "kl"
    mean = student_mean_loss(case.teacher_BHQK, case.student_BGQK, **case.masks, distance=distance)
    assert_close(hot, mean, rtol=1e-7, atol=0)


@pytest.mark.trap("amad-17")
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_alignment_passes_a_gradient_unless_it_is_detached(variant):
    case = make_case("H < G", "all")
    pair = case.teacher_BHQK, case.student_BGQK
    options = {**case.masks, **projected_to_itself(variant, 12)}
    value, _, gradient = value_and_gradients(amad_loss, *pair, **options)
    detached = value_and_gradients(amad_loss, *pair, **options, detach_alignment=True)
    assert_close(detached[0], value, rtol=0, atol=0)
    assert (detached[2] - gradient).abs().max() > 1e-4


def test_mse_has_no_rows_to_sum_over():
    maps = distributions(1, 2, 3, 3)
    with pytest.raises(ValueError, match="row_reduction 'sum' is for the variants with rows"):
        amad_loss(maps, maps, variant="mse", row_reduction="sum")


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_must_be_above_zero(temperature):
    maps = distributions(1, 2, 3, 3)
    with pytest.raises(ValueError, match="temperature must be above 0"):
        amad_loss(maps, maps, temperature=temperature)
