import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from amad_bench.losses import build_loss, one_to_one_loss, shd_loss
from amad_bench.losses.shd import merge_heads
from amad_bench.plan.catalogue import LOSSES, ModelShape
from tests.losses import agreement, naive_shd
from tests.losses.cases import MASKS, layer_trace, random_maps, trace

SHAPES = {
    "one query": (2, 3, 2, 1, 7),
    "uneven groups": (2, 7, 3, 3, 4),
    "one student head": (3, 4, 1, 5, 5),
    "H = G": (2, 3, 3, 6, 2),
}


def inputs(shape, where, seed=0, sharpness=2.0):
    """Head size 3, model width 4."""
    _, teacher_heads, student_heads, _, _ = shape
    source = agreement.generator(seed)
    maps = [random_maps(n, where.valid_BQK, source, sharpness) for n in (teacher_heads, student_heads)]
    values = agreement.random_vectors(teacher_heads, 3, where.keys_BK, source)
    return [*maps, values, torch.randn(teacher_heads, 3, 4, generator=source, dtype=torch.float64)]


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_gradients_agree_with_loops(shape, mask):
    where = agreement.entries(SHAPES[shape], mask)
    agreement.assert_agrees(shd_loss, naive_shd.shd, inputs(SHAPES[shape], where), where, scale=2.5)


def test_the_mean_over_merged_heads():
    where = agreement.entries(SHAPES["uneven groups"], "query")
    tensors = inputs(SHAPES["uneven groups"], where)
    agreement.assert_agrees(shd_loss, naive_shd.shd, tensors, where, head_reduction="mean")


@pytest.mark.parametrize("mask", ["none", "query", "key"])
def test_gradients_agree_with_finite_differences(mask):
    """Not where a sample has but one entry: there D = 0 and alpha jumps."""
    where = agreement.entries(SHAPES["uneven groups"], mask)
    agreement.assert_gradcheck(shd_loss, inputs(SHAPES["uneven groups"], where), where)


# The best alpha is a quotient of small numbers: gradients through it are less exact than of other losses.
@pytest.mark.parametrize(
    ("dtype", "rtol"), [(torch.float32, 1e-3), (torch.bfloat16, 2e-2), (torch.float16, 5e-3)]
)
def test_lower_precision_is_computed_in_float32(dtype, rtol):
    where = agreement.entries(SHAPES["one student head"], "query")
    tensors = inputs(SHAPES["one student head"], where, sharpness=1.0)
    agreement.assert_lower_precision(shd_loss, naive_shd.shd, tensors, where, dtype, rtol)


def test_autocast_changes_nothing():
    where = agreement.entries(SHAPES["uneven groups"], "key")
    agreement.assert_autocast_changes_nothing(shd_loss, inputs(SHAPES["uneven groups"], where), where)


def test_no_valid_entry_is_zero_with_zero_gradient():
    shape = SHAPES["uneven groups"]
    agreement.assert_zero_without_a_valid_entry(
        shd_loss, inputs(shape, agreement.entries(shape, "all")), shape
    )


def test_one_hot_maps_and_zero_mass_are_finite():
    """The teacher's heads are one and the same map, so that D X = 0 and alpha is one half."""
    eye = torch.eye(4)
    teacher, student = eye.expand(2, 4, 4, 4), eye.flip(0).expand(2, 2, 4, 4)
    results = agreement.value_and_gradients(
        shd_loss, [teacher, student, torch.randn(2, 4, 4, 3), torch.randn(4, 3, 5)]
    )
    assert all(torch.isfinite(x).all() for x in results)
    assert_close(results[0].item(), 2 * 12 * 2.302585093, rtol=1e-6, atol=0)


@pytest.mark.trap("shd-2")
@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31))
def test_alpha_is_the_best_of_a_fine_grid(seed):
    """The reconstruction itself: no alpha in [0, 1] brings A X nearer to A_p X_p + A_q X_q."""
    where = agreement.entries((1, 2, 1, 4, 5), "none")
    maps = random_maps(2, where.valid_BQK, agreement.generator(seed))
    values = torch.randn(1, 2, 5, 3, generator=agreement.generator(seed + 1), dtype=torch.float64)
    found = merge_heads(maps, values, 1)[0, 0]
    (first, second), (x_first, x_second) = maps[0], values[0]
    target = first @ x_first + second @ x_second
    errors = [
        ((a * first + (1 - a) * second) @ (x_first + x_second) - target).square().sum()
        for a in torch.linspace(0, 1, 1001, dtype=torch.float64)
    ]
    assert (found @ (x_first + x_second) - target).square().sum() <= min(errors) + 1e-12
    assert_close(found.sum(-1), torch.ones(4, dtype=torch.float64))  # rows stay distributions


@pytest.mark.trap("shd-1")
@pytest.mark.trap("shd-2")
def test_groups_are_consecutive_and_of_nearly_equal_size():
    """Values of length 0 make alpha one half, so that a merged map shows who is in it: 3, 2 and 2 of 7."""
    maps = torch.eye(7, dtype=torch.float64)[None, :, None, :]  # head h attends to key h
    merged = merge_heads(maps, torch.zeros(1, 7, 7, 2, dtype=torch.float64), 3)
    members = [row.nonzero().flatten().tolist() for row in merged[0, :, 0]]
    assert members == [[0, 1, 2], [3, 4], [5, 6]]
    assert_close(merged[0, 0, 0, :3], torch.tensor([0.25, 0.25, 0.5], dtype=torch.float64))  # left to right


def test_equal_head_counts_are_one_to_one():
    where = agreement.entries(SHAPES["H = G"], "query")
    teacher, student, values, weight = inputs(SHAPES["H = G"], where)
    expected = one_to_one_loss(teacher, student, **where.masks)
    assert torch.equal(shd_loss(teacher, student, values, weight, **where.masks), expected)


def test_the_module_reads_the_teacher_s_values_and_output_weight():
    keys_BK = torch.tensor([[True] * 5, [True, True, True, False, False]])
    masks = {"mask_BHQK": keys_BK[:, None, None, :], "query_mask_BQ": keys_BK}
    teacher, student = (layer_trace(n, **masks) for n in (4, 2))
    expected = shd_loss(
        teacher.probs_BHQK(),
        student.probs_BHQK(),
        teacher.value_BJKD,
        teacher.output_weight_HDd,
        query_mask_BQ=keys_BK,
        key_mask_BK=keys_BK,
    )
    parts = build_loss("shd")(trace({"a": [teacher]}), trace({"a": [student]}))
    assert_close(parts["attention"], expected, rtol=1e-6, atol=0)
    teacher.output_weight_HDd = None
    with pytest.raises(ValueError, match=r"^a: shd needs the teacher's output projection"):
        build_loss("shd")(trace({"a": [teacher]}), trace({"a": [student]}))


@pytest.mark.trap("shd-3")
def test_more_student_than_teacher_heads_are_refused_by_plan_and_loss():
    teacher, student = (trace({"a": [layer_trace(n)]}) for n in (2, 4))
    with pytest.raises(ValueError, match=r"^a: shd merges .* has 2 heads and the student 4"):
        build_loss("shd")(teacher, student)
    shapes = [ModelShape("t5", {"a": n}, {"a": 1}, {"a": 8}, {"a": 4}) for n in (2, 4)]
    supported, reason = LOSSES["shd"].supports(*shapes)
    assert not supported
    assert "2 heads and the student 4" in reason
