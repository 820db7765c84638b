"""What must hold of losses that read maps chunk by chunk and have backwards of their own.

Values and gradients against loops are in test_maps_against_naive.py, where every map fits one chunk.
"""

import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from amad_bench.losses import amad_loss, chunked, random_alignment_loss, sinkhorn_loss, student_mean_loss
from tests.losses import naive
from tests.losses.cases import SHAPES, make_case, random_maps, value_and_gradients

OPTIONS = (
    {},
    {"variant": "mse"},
    {"variant": "token"},
    {"similarity": "l1"},
    {"variant": "mse", "similarity": "l1"},
    {"variant": "token", "similarity": "l1", "row_reduction": "sum"},
    {"detach_alignment": True},
)
CHUNKS = (1, 17, 60)  # entries: less than a row, some rows, a sample or two


def fill(case):
    """The maps with what every entry may hold, in place of garbage."""
    valid = case.valid_BQK[:, None]
    return torch.where(valid, case.teacher_BHQK, 0.3), torch.where(valid, case.student_BGQK, 0.3)


@pytest.mark.parametrize("entries", CHUNKS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_many_chunks_agree_with_loops(options, shape, entries, monkeypatch):
    monkeypatch.setattr(chunked, "CPU_CHUNK", entries)
    for mask in ("none", "all", "empty sample"):
        case = make_case(shape, mask)
        pair = case.teacher_BHQK, case.student_BGQK
        got = value_and_gradients(amad_loss, *pair, scale=2.5, **case.masks, **options)
        expected = value_and_gradients(naive.amad, *pair, case.valid_BQK, scale=2.5, **options)
        assert_close(got, expected, rtol=1e-9, atol=1e-11)
        for gradient in got[1:]:
            assert (gradient[~case.valid_BQK[:, None].expand_as(gradient)] == 0).all()


@pytest.mark.parametrize("distance", ["kl", "mse"])
def test_many_chunks_with_weights_of_any_kind(distance, monkeypatch):
    case = make_case("H < G", "all")
    pair, weights_HG = (case.teacher_BHQK, case.student_BGQK), torch.rand(2, 5).softmax(-1)
    calls = (
        (student_mean_loss, pair),
        (sinkhorn_loss, pair),
        (lambda t, s, **options: random_alignment_loss(t, s, weights_HG, **options), pair),
    )
    one = [value_and_gradients(f, *maps, **case.masks, distance=distance) for f, maps in calls]
    monkeypatch.setattr(chunked, "CPU_CHUNK", 17)
    many = [value_and_gradients(f, *maps, **case.masks, distance=distance) for f, maps in calls]
    assert_close(many, one, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("options", OPTIONS[:-1], ids=str)  # differences do not see what is detached
def test_finite_differences_across_chunks(options, monkeypatch):
    monkeypatch.setattr(chunked, "CPU_CHUNK", 30)
    case = make_case("H = G, Q > K", "key", seed=3)
    leaves = [x.requires_grad_() for x in fill(case)]
    torch.autograd.gradcheck(
        lambda t, s: amad_loss(t, s, **case.masks, **options), leaves, eps=1e-7, atol=1e-6
    )


@pytest.mark.parametrize("entries", [1, 2**20])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_inputs_are_never_written_to(options, entries, monkeypatch):
    """Nor the gradient that arrives. A chunk that is a whole map is a view of the input."""
    monkeypatch.setattr(chunked, "CPU_CHUNK", entries)
    for mask in ("none", "all"):
        case = make_case("H < G", mask)
        leaves = [x.requires_grad_() for x in fill(case)]
        before, versions = [x.detach().clone() for x in leaves], [x._version for x in leaves]
        upstream = torch.tensor(2.0, dtype=torch.float64)
        loss = amad_loss(leaves[0], leaves[1], **case.masks, **options)
        loss.backward(upstream)
        assert [x._version for x in leaves] == versions
        assert upstream.item() == 2
        assert_close([x.detach() for x in leaves], before, rtol=0, atol=0)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_hooks_and_a_second_backward(options):
    """Hooks that replace gradients, saved tensors that are packed away, and a graph that is kept."""
    teacher, student = (x.requires_grad_() for x in fill(make_case("H < G")))
    _, *expected = value_and_gradients(amad_loss, teacher.detach(), student.detach(), **options)
    student.register_hook(lambda gradient: 3 * gradient)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x.clone(), lambda x: x):
        loss = amad_loss(teacher, student, **options)
    loss.backward(retain_graph=True)
    loss.backward()
    assert teacher.grad is not None
    assert student.grad is not None
    assert_close([teacher.grad, student.grad], [2 * expected[0], 6 * expected[1]])


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_one_tensor_in_several_roles(options):
    """As teacher and as student, and as student of two losses."""
    maps, other = fill(make_case("H = G, square"))
    _, *both = value_and_gradients(amad_loss, maps, maps, **options)
    _, _, as_student = value_and_gradients(amad_loss, other, maps, **options)
    leaf = maps.clone().requires_grad_()
    (amad_loss(leaf, leaf, **options) + amad_loss(other, leaf, **options)).backward()
    assert leaf.grad is not None
    assert_close(leaf.grad, both[0] + both[1] + as_student)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_only_what_is_asked_for_gets_a_gradient(options):
    teacher, student = fill(make_case("H < G"))
    _, of_teacher, of_student = value_and_gradients(amad_loss, teacher, student, **options)
    for leaf, expected in ((teacher, of_teacher), (student, of_student)):
        leaf.requires_grad_()
        (gradient,) = torch.autograd.grad(amad_loss(teacher, student, **options), leaf)
        assert_close(gradient, expected, rtol=1e-12, atol=1e-14)
        leaf.requires_grad_(False)
    assert not amad_loss(teacher, student, **options).requires_grad


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_maps_in_any_layout(options):
    """Heads last in memory, every second key, one head for all."""
    teacher, student = fill(make_case("H = G, square"))
    expected = value_and_gradients(amad_loss, teacher, student, **options)
    strided = teacher.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    every_second = torch.stack([student, -student], dim=-1).flatten(-2)[..., ::2]
    assert_close(value_and_gradients(amad_loss, strided, every_second, **options), expected)
    same = student[:, :1].expand_as(student)
    expected = value_and_gradients(amad_loss, teacher, same.contiguous(), **options)
    assert_close(value_and_gradients(amad_loss, teacher, same, **options), expected)


def test_maps_changed_before_the_backward_are_noticed():
    teacher, student = fill(make_case("H < G"))
    loss = amad_loss(teacher, student.requires_grad_())
    teacher.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("variant", ["kl", "mse", "token"])
def test_a_second_derivative_is_refused(variant):
    teacher, student = fill(make_case("H < G"))
    loss = amad_loss(teacher, student.requires_grad_(), variant=variant)
    (gradient,) = torch.autograd.grad(loss, student, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize(("variant", "rtol"), [("mse", 1e-7), ("kl", 1e-6), ("token", 1e-6)])
def test_float32_over_many_chunks_is_as_exact_as_float64(variant, rtol, monkeypatch):
    """Values to a rounding of the result for `mse`, whose products are float64; gradients to 2e-6 of the
    largest. 90,000 entries a map, sums over 30 chunks."""
    everything = torch.ones(1, 300, 300, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    pair = [random_maps(heads, everything, generator).float() for heads in (4, 3)]
    monkeypatch.setattr(chunked, "CPU_CHUNK", 7 * 300 * 10)
    single = value_and_gradients(amad_loss, *pair, variant=variant)
    double = value_and_gradients(amad_loss, *(x.double() for x in pair), variant=variant)
    assert_close(single[0].double(), double[0], rtol=rtol, atol=0)
    for got, expected in zip(single[1:], double[1:], strict=True):
        assert_close(got.double(), expected, rtol=0, atol=2e-6 * expected.abs().max().item())


@pytest.mark.parametrize("loss", [amad_loss, student_mean_loss, sinkhorn_loss])
def test_small_maps_that_are_masked_once_are_the_same(monkeypatch, loss):
    """Whatever the masked entries hold; their gradient is exactly 0 in both ways."""
    torch.manual_seed(0)
    teacher_BHQK, student_BGQK = (torch.rand(2, heads, 5, 6).softmax(-1) for heads in (4, 3))
    mask_B1QK = torch.rand(2, 1, 5, 6) < 0.7
    for maps_BHQK in (teacher_BHQK, student_BGQK):
        maps_BHQK.masked_fill_(~mask_B1QK, float("nan"))
    found = []
    for entries in (2**20, 40):  # all at once, and in many chunks
        monkeypatch.setattr(chunked, "CPU_CHUNK", entries)
        assert chunked.one_chunk(teacher_BHQK, student_BGQK) == (entries == 2**20)
        leaf = student_BGQK.clone().requires_grad_()
        value = loss(teacher_BHQK, leaf, cell_mask_QK=mask_B1QK)
        value.backward()
        assert torch.all(leaf.grad.masked_select(~mask_B1QK) == 0)
        found.append((value.detach(), leaf.grad))
    torch.testing.assert_close(found[0], found[1], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("masked", [False, True])
def test_large_float32_maps_cancel_to_rounding_errors(masked):
    """BLIP's maps at 384 px. All heads alike: the distance is 0, and 1e-4 where float32 is summed flat."""
    everything = torch.ones(1, 577, 577, dtype=torch.bool)
    one = random_maps(1, everything, torch.Generator().manual_seed(0), sharpness=4.0).float()
    mask = everything[:, None].clone()
    mask[..., 500:] = not masked
    loss = amad_loss(
        one.expand(1, 12, 577, 577), one.expand(1, 8, 577, 577), cell_mask_QK=mask, variant="mse"
    )
    assert loss.dtype == torch.float32
    assert abs(loss.item()) < 1e-6


@pytest.mark.parametrize("similarity", ["cosine", "l1"])
def test_large_float32_maps_against_a_loop_over_heads(similarity):
    everything = torch.ones(2, 577, 577, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    pair = [random_maps(heads, everything, generator).float() for heads in (3, 2)]
    loss = amad_loss(pair[0], pair[1], variant="mse", similarity=similarity)
    teacher, student = ([list(sample.double().flatten(1)) for sample in maps] for maps in pair)
    expected, order = 0.0, 2 if similarity == "cosine" else 1
    for t_H, s_G in zip(teacher, student, strict=True):
        for t in t_H:
            like = torch.stack([t @ s / (t.norm(p=order) * s.norm(p=order)) for s in s_G])
            mixture = sum(a * s / s.norm() for a, s in zip(like.softmax(0), s_G, strict=True))
            expected += float((t / t.norm() - mixture).square().sum()) / 2
    assert loss.item() == pytest.approx(expected, rel=2e-7)


class Products(TorchDispatchMode):
    """Matrix products that are made inside: the type, and the number of terms that are summed."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.bmm):
            self.found.add((args[0].dtype, args[0].shape[-1]))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_products_of_large_maps_are_those_of_rows(options, monkeypatch):
    """A GPU shares out rows among its blocks, and is slow in float64."""
    monkeypatch.setattr(chunked, "SMALL_MAP", 0)
    pair = [torch.rand(2, heads, 30, 40).softmax(-1) for heads in (4, 3)]
    weights = {4, 3}  # mixtures and gradients sum over heads
    with Products() as products:
        value_and_gradients(amad_loss, *pair, **options)
    terms = {size for dtype, size in products.found if dtype == torch.float32} - weights
    assert terms == {40}
    assert {size for dtype, size in products.found if dtype == torch.float64} <= weights
