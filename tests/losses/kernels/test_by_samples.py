"""Chunked losses against the formulas as printed, in float64: maps of queries, keys, bias, masks."""

from dataclasses import replace

import pytest
import torch

from amad_bench.losses import build_loss
from amad_bench.losses.kernels.by_samples import by_samples
from amad_bench.losses.kernels.choice import ENTRIES_AT_ONCE
from amad_bench.losses.kernels.compared import Compared
from amad_bench.models.attention.trace import LayerTrace, Totals, Trace, unread
from tests.losses import naive

SHARP = 1.5
LOSSES = {  # name, options -> (teacher_BHQK, student_BGQK, valid_BQK) -> scalar
    **{
        f"amad {variant}": ("amad", {"variant": variant}, naive.amad, {"variant": variant})
        for variant in ("kl", "mse", "token")
    },
    "student_mean": ("student_mean", {}, naive.student_mean, {}),
    "head_mean": ("head_mean", {}, naive.head_mean, {}),
    "one_to_one": ("one_to_one", {"drop": "extra"}, naive.one_to_one, {"drop": "extra"}),
    "sinkhorn": ("sinkhorn", {}, naive.sinkhorn, {}),
    "hungarian": ("hungarian", {}, naive.hungarian, {}),
}


def layer(
    heads, size, *, key_heads=None, batch=3, queries=5, keys=5, mask=None, bias=False, seed=0, grad=True
):
    generator = torch.Generator().manual_seed(seed)
    key_heads = key_heads or heads

    def made(*shape):
        return SHARP * torch.randn(shape, generator=generator, dtype=torch.float64)

    tensors = made(batch, heads, queries, size), *(made(batch, key_heads, keys, size) for _ in range(2))
    bias_1HQK = made(1, heads, queries, keys).requires_grad_(grad) if bias else None
    rows_BQ = torch.ones(batch, queries, dtype=torch.bool)
    rows_BQ[1, queries // 2 :] = False
    rows_BQ[2] = False  # a sample without a valid entry
    masks = {
        None: None,
        "padding": (torch.arange(keys) < keys - 1)[None, None, None].expand(batch, 1, 1, keys),
        "causal": torch.ones(queries, keys, dtype=torch.bool).tril()[None, None],
        "window": torch.ones(queries, keys, dtype=torch.bool).tril().triu(-1)[None, None],
    }
    query, key, value = (tensor.requires_grad_(grad) for tensor in tensors)
    return LayerTrace(query, key, value, size**-0.5, bias_1HQK, masks[mask], rows_BQ, None)


def maps(trace):
    """Eager attention, entry by entry of its definition."""
    keys = trace.key_BJKD.repeat_interleave(trace.query_BHQD.shape[1] // trace.key_BJKD.shape[1], dim=1)
    scores = torch.einsum("bhqd,bhkd->bhqk", trace.query_BHQD, keys) * trace.scale
    if trace.bias_BHQK is not None:
        scores = scores + trace.bias_BHQK
    if trace.mask_BHQK is not None:
        scores = torch.where(trace.mask_BHQK, scores, -1e300)
    return scores.softmax(-1)


def valid(*traces):
    batch, _, queries, keys = traces[0].shape_BHQK
    entries = torch.ones(batch, queries, keys, dtype=torch.bool)
    for trace in traces:
        entries &= trace.query_mask_BQ[:, :, None]
        if trace.mask_BHQK is not None:
            entries &= trace.mask_BHQK[:, 0].expand(batch, queries, keys)
    return entries


def whole(trace, totals=None):
    batch = len(trace.query_mask_BQ)
    labels = torch.zeros(batch, 1, dtype=torch.long)
    return Trace(torch.zeros(batch, 1, 2), labels, {"a": [trace]}, totals=totals)


def cast(trace, dtype):
    """The trace with leaves of its own, of another type."""
    names = ("query_BHQD", "key_BJKD", "value_BJKD", "bias_BHQK")
    given = {name: getattr(trace, name) for name in names}
    return replace(
        trace,
        **{
            name: None if t is None else t.detach().to(dtype).requires_grad_(t.requires_grad)
            for name, t in given.items()
        },
    )


def gradients(scalar, trace):
    inputs = [t for t in (trace.query_BHQD, trace.key_BJKD, trace.bias_BHQK) if t is not None]
    return torch.autograd.grad(scalar, inputs)


def require_close(trace, found, expected_trace, expected, tolerance):
    assert abs(found.item() - expected.item()) <= tolerance * max(1.0, abs(expected.item()))
    pairs = zip(gradients(3 * found, trace), gradients(3 * expected, expected_trace), strict=True)
    for got, wanted in pairs:
        assert torch.linalg.vector_norm(got.double() - wanted) <= tolerance * max(
            1e-2, torch.linalg.vector_norm(wanted).item()
        )


CASES = {
    "T5 bias": ({"bias": True}, {"bias": True}),
    "causal": ({"mask": "causal"}, {"mask": "causal"}),
    "window, padding": ({"mask": "window"}, {"mask": "padding"}),
    "Q != K": ({"keys": 4}, {"keys": 4, "bias": True}),
    "grouped": ({"key_heads": 1}, {"key_heads": 2, "bias": True, "mask": "padding"}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_those_of_the_formula(name, case, dtype):
    """One sample at a time: bias shared by samples, rows and a sample that do not count."""
    method, options, formula, theirs = LOSSES[name]
    of_teacher, of_student = CASES[case]
    teacher = layer(3, 8, grad=False, seed=1, **of_teacher)
    exact = layer(4, 6, seed=2, **of_student)
    expected = formula(maps(teacher), maps(exact), valid(teacher, exact), **theirs)
    student = cast(exact, dtype)
    loss = build_loss(method, kernel="chunked", **options)
    found = loss(whole(cast(teacher, dtype)), whole(student))["attention"]
    require_close(student, found, exact, expected, 1e-5 if dtype == torch.float32 else 1e-10)


@pytest.fixture(autouse=True)
def _one_sample_at_a_time(monkeypatch):
    monkeypatch.setitem(ENTRIES_AT_ONCE, "cpu", 1)


@pytest.mark.parametrize("name", ["amad kl", "amad mse", "amad token", "student_mean"])
@pytest.mark.parametrize("sizes", [(64, 96), (80, 128)])
def test_bf16_queries_are_summed_in_float32(name, sizes):
    method, options, _, _ = LOSSES[name]
    teacher = cast(layer(12, sizes[0], queries=33, keys=33, grad=False, seed=1), torch.bfloat16)
    student = cast(layer(8, sizes[1], queries=33, keys=33, seed=2, bias=True), torch.bfloat16)
    exact = cast(student, torch.float64)
    dense = build_loss(method, kernel="dense", **options)
    expected = dense(whole(cast(teacher, torch.float64)), whole(exact))["attention"]
    found = build_loss(method, kernel="chunked", **options)(whole(teacher), whole(student))["attention"]
    assert found.dtype == torch.float32
    require_close(student, found, exact, expected, 2e-2)
    assert student.query_BHQD.dtype == torch.bfloat16


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("tokens", "sizes"), [(197, (64, 80)), (901, (64, 96))])
def test_large_maps(name, tokens, sizes):
    method, options, _, _ = LOSSES[name]
    teacher = layer(12, sizes[0], queries=tokens, keys=tokens, grad=False, seed=1)
    exact = layer(8, sizes[1], queries=tokens, keys=tokens, seed=2)
    expected = build_loss(method, kernel="dense", **options)(whole(teacher), whole(exact))["attention"]
    student = cast(exact, torch.float32)
    found = build_loss(method, kernel="chunked", **options)(
        whole(cast(teacher, torch.float32)), whole(student)
    )
    require_close(student, found["attention"], exact, expected, 1e-5)


@pytest.mark.parametrize("axes", ["1HQK", "BHQK", "1H1K", "B1QK"])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_bias_of_its_own_shape_and_given_maps_of_the_teacher(axes, batch):
    """With one sample an axis of 1 is the sample's own, and all samples'."""
    sizes = {"1": 1, "B": batch, "H": 4, "Q": 5, "K": 5}
    bias = torch.linspace(-2, 2, 100 * batch, dtype=torch.float64).reshape(batch, 4, 5, 5)
    bias = bias[tuple(slice(sizes[axis]) for axis in axes)].clone().requires_grad_()
    teacher, exact = layer(3, 8, batch=3, seed=1, grad=False), layer(4, 6, batch=3, seed=2)
    names = ("query_BHQD", "key_BJKD", "value_BJKD", "query_mask_BQ")
    teacher, exact = (
        replace(x, **{name: getattr(x, name).detach()[:batch] for name in names}) for x in (teacher, exact)
    )
    exact.query_BHQD.requires_grad_()
    exact.key_BJKD.requires_grad_()
    exact = replace(exact, bias_BHQK=bias)
    expected = naive.amad(maps(teacher), maps(exact), valid(teacher, exact), variant="kl")
    given = {name: unread() for name in names[:3]}
    given = replace(teacher, given_probs_BHQK=maps(teacher), **given)
    student = cast(exact, torch.float64)
    found = build_loss("amad", kernel="chunked")(whole(given), whole(student))["attention"]
    require_close(student, found, exact, expected, 1e-10)


def test_autocast_rounds_no_gradient():
    """It would run a backward pass's products in half precision; none runs under it otherwise."""
    teacher = cast(layer(3, 8, seed=1, grad=False), torch.float32)
    found = []
    for enabled in (False, True):
        student = cast(layer(4, 6, seed=2, bias=True), torch.float32)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            scalar = build_loss("amad", kernel="chunked")(whole(teacher), whole(student))["attention"]
        found.append([scalar.detach(), *gradients(scalar, student)])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_the_factor_from_above_is_not_rounded():
    teacher, exact = layer(3, 8, seed=1, grad=False), layer(4, 6, seed=2)
    student = cast(exact, torch.bfloat16)
    scalar = build_loss("amad", kernel="chunked")(whole(cast(teacher, torch.bfloat16)), whole(student))
    (plain,) = torch.autograd.grad(scalar["attention"], student.key_BJKD, retain_graph=True)
    (scaled,) = torch.autograd.grad(-0.3 * scalar["attention"], student.key_BJKD)
    assert torch.equal(scaled, (-0.3 * plain.float()).bfloat16())


def test_losses_of_the_same_queries_add_their_gradients():
    teacher = layer(3, 8, seed=1, grad=False)
    found = []
    for kernel in ("dense", "chunked"):
        student = layer(4, 6, seed=2, bias=True)
        pair = whole(teacher), whole(student)
        for factor, name in ((0.5, "amad"), (-2, "head_mean")):
            loss = build_loss(name, kernel=kernel)
            (factor * loss(*pair)["attention"]).backward()
        found.append([x.grad for x in (student.query_BHQD, student.key_BJKD, student.bias_BHQK)])
    for one, other in zip(*found, strict=True):
        assert (one - other).abs().max() <= 1e-12


@pytest.mark.parametrize("name", ["minilm", "minilm_v2"])
def test_values_get_their_gradient(name):
    teacher, student = (layer(4, 8, seed=seed, grad=seed > 1) for seed in (1, 2))
    found = []
    for kernel in ("dense", "chunked"):
        options = {"relation_heads": 2} if name == "minilm_v2" else {}
        scalar = build_loss(name, kernel=kernel, **options)(whole(teacher), whole(student))["attention"]
        inputs = student.query_BHQD, student.key_BJKD, student.value_BJKD
        found.append([scalar.detach(), *torch.autograd.grad(scalar, inputs)])
    for one, other in zip(*found, strict=True):
        assert (one - other).abs().max() <= 1e-12


def test_without_gradients_there_is_the_value_alone():
    teacher, student = layer(3, 8, seed=1, grad=False), layer(4, 6, seed=2)
    loss = build_loss("amad", kernel="chunked")
    with torch.no_grad():
        value = loss(whole(teacher), whole(student))["attention"]
    assert not value.requires_grad
    assert value == loss(whole(teacher), whole(student))["attention"]


def test_a_teacher_with_gradient_is_refused_or_computed_densely():
    teacher, student = layer(3, 8, seed=1), layer(4, 6, seed=2)
    with pytest.raises(ValueError, match="detach its trace or use 'dense'"):
        build_loss("amad", kernel="chunked")(whole(teacher), whole(student))
    build_loss("amad", kernel="auto")(whole(teacher), whole(student))["attention"].backward()
    assert teacher.query_BHQD.grad.abs().max() > 0


def test_alignment_and_totals_are_the_dense_ones():
    teacher, student = layer(3, 8, seed=1, grad=False), layer(4, 6, seed=2)
    totals = Totals(tokens=9, samples=7, by_site={"a": 5})
    dense, chunked = (
        build_loss("amad", kernel=kernel).outcome(whole(teacher), whole(student, totals))
        for kernel in ("dense", "chunked")
    )
    assert dense.parts["attention"].item() == pytest.approx(chunked.parts["attention"].item(), rel=1e-12)
    assert (dense.alignment["a/0"] - chunked.alignment["a/0"]).abs().max() <= 1e-12
    assert chunked.alignment["a/0"].sum().item() == pytest.approx(3 * 2 / 5)  # 2 of 5 samples, rows sum to 1


def test_a_causal_mask_of_all_samples_is_no_single_sample():
    """As of a causal language model without padding, whose queries are known to be real."""
    real_BQ = torch.ones(3, 5, dtype=torch.bool)
    teacher, student = (
        replace(layer(4, 8, seed=s, grad=s > 1, mask="causal"), query_mask_BQ=real_BQ, every_query=True)
        for s in (1, 2)
    )
    expected = naive.amad(maps(teacher), maps(student), valid(teacher, student), variant="kl").item()
    seen = []

    def compare(*layers):
        seen.append([len(x.query_BHQD) for x in layers])
        return Compared(sum(x.query_BHQD.sum() for x in layers))

    by_samples(compare, teacher, student, 2)
    assert seen == [[2, 2], [1, 1]]
    for kernel in ("dense", "chunked"):
        loss = build_loss("amad", kernel=kernel)
        found = loss(whole(teacher), whole(student, Totals(tokens=9, samples=7, by_site={"a": 7})))
        assert found["attention"].item() == pytest.approx(expected * 3 / 7, rel=1e-12)


def test_no_valid_entry_at_all_is_zero():
    teacher, student = layer(3, 8, seed=1, grad=False), layer(4, 6, seed=2)
    student.query_mask_BQ[:] = False
    found = build_loss("amad", kernel="chunked")(whole(teacher), whole(student))["attention"]
    assert found == 0
    assert all(g.abs().max() == 0 for g in gradients(found, student))


def test_small_gradients_of_float16_queries_outlive_until_they_are_scaled():
    """A GradScaler's factor comes with the backward pass: 1e-9 is 0 in float16, and 6e-5 times 65,536."""
    teacher, exact = layer(4, 8, grad=False), replace(layer(2, 8, seed=1), scale=1e-8)
    student = cast(exact, torch.float16)
    exact = cast(student, torch.float64)
    loss, expected = (
        build_loss("amad", kernel=kernel)(whole(teacher), whole(one))["attention"]
        for kernel, one in (("chunked", student), ("dense", exact))
    )
    pairs = (loss, student), (expected, exact)
    found, wanted = (torch.autograd.grad(2.0**16 * x, one.query_BHQD)[0] for x, one in pairs)
    assert wanted.abs().max() < 2.0**16 * 2.0**-25  # unscaled, each rounds to 0
    assert torch.linalg.vector_norm(found.double() - wanted) < 2e-2 * torch.linalg.vector_norm(wanted)
