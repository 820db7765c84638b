"""The Triton kernels in Triton's interpreter, against the loops of naive.py in float64.

No test of the suite itself: the interpreter is chosen before Triton is imported, for a whole process;
test_triton.py starts this file with pytest in a process of its own.
"""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from amad_bench.losses import build_loss
from amad_bench.losses.entries import traced_entries
from amad_bench.losses.kernels import triton_launch, triton_loss
from amad_bench.losses.kernels.choice import ENTRIES_AT_ONCE
from amad_bench.models.attention.trace import LayerTrace
from tests.gpu import fused
from tests.losses import naive

# Triton's own interpreter, with numpy before 2.4
pytestmark = pytest.mark.filterwarnings("ignore:Conversion of an array with ndim > 0:DeprecationWarning")

BATCH, QUERIES, KEYS = 2, 5, 6


def layer(heads, key_heads=None, *, shape=(BATCH, QUERIES, KEYS), size=8, mask=None, bias=True, seed=0):
    batch, queries, keys = shape
    generator = torch.Generator().manual_seed(1000 * seed + heads)

    def normal(*sizes):
        return torch.randn(*sizes, generator=generator, dtype=torch.float64)

    key = normal(batch, key_heads or heads, keys, size)
    return LayerTrace(
        query_BHQD=2 * normal(batch, heads, queries, size),
        key_BJKD=key,
        value_BJKD=key,
        scale=size**-0.5,
        bias_BHQK=normal(1, heads, queries, keys) if bias else None,
        mask_BHQK=mask,
        query_mask_BQ=torch.ones(batch, queries, dtype=torch.bool),
        output_weight_HDd=None,
        every_query=mask is None,
    )


def masks(kind, batch=BATCH, queries=QUERIES, keys=KEYS):
    """The teacher's and the student's attention masks, and which queries are tokens."""
    rows, columns = torch.arange(queries)[:, None], torch.arange(keys)
    mask = torch.ones(batch, 1, 1, keys, dtype=torch.bool)
    tokens = torch.ones(batch, queries, dtype=torch.bool)
    if kind == "none":
        return None, None, tokens
    if kind == "padding":
        mask[1, :, :, keys // 2 :] = False
        tokens[0, queries // 2 :] = False
    elif kind == "causal":
        mask = (columns <= rows)[None, None]
    elif kind == "window":
        mask = ((columns <= rows) & (columns > rows - 2))[None, None]
    elif kind == "two masks":  # each softmax is over its own keys, what counts are those of both
        other = mask.clone()
        mask[:, :, :, 0], other[0, :, :, -2:] = False, False
        return mask, other, tokens
    elif kind == "empty sample":
        tokens[1] = False
    elif kind == "empty row":
        mask = mask.expand(-1, 1, queries, -1).clone()
        mask[0, 0, 2] = False
    return mask, mask, tokens


def oracle_maps(given):
    """Softmax as it is printed, in float64; rows without a key are 0."""
    heads, key_heads = given.query_BHQD.shape[1], given.key_BJKD.shape[1]
    key_BHKD = given.key_BJKD.repeat_interleave(heads // key_heads, 1)
    exponentials = given.scale * (given.query_BHQD @ key_BHKD.mT)
    if given.bias_BHQK is not None:
        exponentials = exponentials + given.bias_BHQK
    exponentials = exponentials.exp()
    if given.mask_BHQK is not None:
        exponentials = exponentials * given.mask_BHQK
    total = exponentials.sum(-1, keepdim=True)
    return exponentials / torch.where(total > 0, total, 1.0)


def leaves(given, dtype):
    """The layer in this precision, differentiable; and what is differentiated."""
    names = ["query_BHQD", "key_BJKD", *(["bias_BHQK"] if given.bias_BHQK is not None else [])]
    cast = {name: getattr(given, name).to(dtype).detach().requires_grad_() for name in names}
    return replace(given, **cast), list(cast.values())


def of_dtype(given, dtype):
    bias = None if given.bias_BHQK is None else given.bias_BHQK.to(dtype)
    return replace(
        given, query_BHQD=given.query_BHQD.to(dtype), key_BJKD=given.key_BJKD.to(dtype), bias_BHQK=bias
    )


def compare(teacher, student, method, options, *, dtype=torch.float32, tolerance=1e-5, factor=3.0):
    """Value and gradients within `tolerance` of the oracle's, which reads the same rounded inputs."""
    teacher, student = of_dtype(teacher, dtype), of_dtype(student, dtype)
    mask = traced_entries(teacher, student)
    shape = len(student.query_mask_BQ), *student.shape_BHQK[2:]
    valid_BQK = (
        torch.ones(shape, dtype=torch.bool) if mask is None else mask.expand(shape[0], 1, *shape[1:])[:, 0]
    )

    exact, expected_leaves = leaves(student, torch.float64)
    function = getattr(naive, method)
    expected = function(
        oracle_maps(of_dtype(teacher, torch.float64)), oracle_maps(exact), valid_BQK, **options
    )
    (factor * expected).backward()

    computed, found_leaves = leaves(student, dtype)
    found = triton_loss.triton_loss(teacher, computed, mask, method=method, options=options)
    (factor * found.loss).backward()

    assert found.loss.dtype == torch.float32
    assert_close(found.loss.double(), expected.detach(), rtol=tolerance, atol=tolerance / 10)
    for got, want in zip(found_leaves, expected_leaves, strict=True):
        assert got.grad.dtype == dtype
        assert (got.grad.double() - want.grad).norm() <= tolerance * want.grad.norm()
        assert want.grad.norm() > 1e-3
    assert found.counts_B.tolist() == valid_BQK.flatten(1).any(1).tolist()
    return found, valid_BQK


VARIANTS = {
    "kl": ("amad", {"variant": "kl"}),
    "mse": ("amad", {"variant": "mse"}),
    "token": ("amad", {"variant": "token"}),
}
METHODS = {
    "kl, l1": ("amad", {"variant": "kl", "similarity": "l1", "temperature": 0.1}),
    "mse, l1": ("amad", {"variant": "mse", "similarity": "l1", "temperature": 0.1}),
    "token, l1": ("amad", {"variant": "token", "similarity": "l1", "temperature": 0.1}),
    "kl, detached": ("amad", {"variant": "kl", "detach_alignment": True}),
    "mse, detached": ("amad", {"variant": "mse", "detach_alignment": True, "temperature": 0.2}),
    "token, detached": ("amad", {"variant": "token", "detach_alignment": True}),
    "kl, sums": ("amad", {"variant": "kl", "row_reduction": "sum", "head_reduction": "mean"}),
    "one to one, kl": ("one_to_one", {"drop": "extra"}),
    "one to one, mse": ("one_to_one", {"drop": "extra", "distance": "mse", "head_reduction": "mean"}),
    "head mean, kl": ("head_mean", {}),
    "head mean, mse": ("head_mean", {"distance": "mse"}),
    "student mean, kl": ("student_mean", {"head_reduction": "mean"}),
    "student mean, mse": ("student_mean", {"distance": "mse"}),
}
QUICK = ("token, l1", "one to one, kl", "head mean, mse")
MASKS = ("two masks", "empty row", "none", "padding", "causal", "window", "empty sample")


def slow_but(quick, names):
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("kind", slow_but(MASKS[:1], MASKS))
@pytest.mark.parametrize("variant", VARIANTS)
def test_masks(variant, kind):
    """Grouped queries, a bias as T5's, more teacher heads and fewer."""
    teacher_mask, student_mask, tokens = masks(kind)
    teacher = replace(layer(3, mask=teacher_mask), query_mask_BQ=tokens, every_query=kind == "none")
    student = replace(
        layer(4, 2, mask=student_mask, seed=1), query_mask_BQ=tokens, every_query=kind == "none"
    )
    method, options = VARIANTS[variant]
    compare(teacher, student, method, options)


@pytest.mark.parametrize("heads", [(4, 2), pytest.param((3, 4), marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", slow_but(QUICK, METHODS))
def test_methods(name, heads, monkeypatch):
    """One sample at a time, too."""
    monkeypatch.setitem(ENTRIES_AT_ONCE, "cpu", 1)
    mask, _, tokens = masks("padding")
    teacher, student = (
        replace(layer(n, mask=mask, seed=i), query_mask_BQ=tokens) for i, n in enumerate(heads)
    )
    compare(teacher, student, *METHODS[name])


@pytest.mark.parametrize("variant", slow_but(["kl"], VARIANTS))
def test_more_than_one_block_of_keys_and_of_heads(variant, monkeypatch):
    monkeypatch.setattr(triton_launch, "BLOCK", 16)
    shape = 1, 2, 37
    teacher, student = layer(17, shape=shape, bias=False), layer(2, shape=shape, bias=False, seed=1)
    compare(teacher, student, *VARIANTS[variant])


@pytest.mark.parametrize("size", slow_but([80], [64, 80, 96, 128]))
def test_bfloat16(size):
    shape = 2, 3, 5
    teacher, student = layer(2, size=size, shape=shape), layer(3, size=size, shape=shape, seed=1)
    for variant in VARIANTS.values():
        compare(teacher, student, *variant, dtype=torch.bfloat16, tolerance=2e-2)


@pytest.mark.parametrize("similarity", ["cosine", "l1"])
def test_alignments(similarity):
    options = {"similarity": similarity, "temperature": 0.3}
    mask, _, tokens = masks("padding")
    teacher = replace(layer(3, mask=mask), query_mask_BQ=tokens)
    student = replace(layer(4, mask=mask, seed=1), query_mask_BQ=tokens)
    found, valid_BQK = compare(teacher, student, "amad", {"variant": "kl", **options})
    for b in range(BATCH):
        maps = oracle_maps(teacher)[b], oracle_maps(student)[b]
        assert_close(
            found.alignment_BHG[b].double(),
            torch.tensor(naive.alignment(*maps, valid_BQK[b], **options)).double(),
            rtol=1e-5,
            atol=1e-6,
        )


def test_given_maps_of_the_teacher_and_no_gradient():
    teacher, student = layer(3), layer(4, seed=1)
    given = replace(teacher, given_probs_BHQK=oracle_maps(teacher).float())
    student = of_dtype(student, torch.float32)
    options = {"variant": "mse"}
    expected = naive.amad(
        given.given_probs_BHQK.double(),
        oracle_maps(of_dtype(student, torch.float64)),
        torch.ones(2, 5, 6) > 0,
        **options,
    )
    found = triton_loss.triton_loss(given, student, None, method="amad", options=options)
    assert not found.loss.requires_grad
    assert_close(found.loss.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", slow_but(["token"], ["kl", "token", "one to one, kl", "head mean, kl"]))
def test_drawn_rows_are_those_of_the_formula(name):
    """Of padded maps too; expected: the rows' own formula, by autograd from whole queries, keys and bias."""
    method, options = {**VARIANTS, **METHODS}[name]
    mask, _, tokens = masks("padding")
    teacher = of_dtype(replace(layer(3, mask=mask), query_mask_BQ=tokens), torch.float32)
    student = replace(layer(4, 2, mask=mask, seed=1), query_mask_BQ=tokens)
    found = []
    for kernel, dtype in (("dense", torch.float64), ("triton", torch.float32)):
        computed, inputs = leaves(student, dtype)
        loss = build_loss(method, kernel=kernel, query_rows=2, seed=3, **options)
        value = loss(fused.trace(teacher), fused.trace(computed))["attention"]
        found.append([value.detach(), *torch.autograd.grad(value, inputs)])
    for exact, other in zip(*found, strict=True):
        assert (exact - other).norm() <= 1e-5 * exact.norm()


def test_a_copy_is_at_no_distance():
    """Products of maps that are taken apart would leave what rounding does to 1."""
    teacher = of_dtype(layer(3), torch.float32)
    found = triton_loss.triton_loss(teacher, teacher, None, method="one_to_one", options={"distance": "mse"})
    assert 0 <= found.loss < 1e-12


def test_autocast_changes_nothing():
    teacher, student = of_dtype(layer(3), torch.float32), of_dtype(layer(2, seed=1), torch.float32)
    plain = triton_loss.triton_loss(teacher, student, None, method="amad", options={})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = triton_loss.triton_loss(teacher, student, None, method="amad", options={})
    assert torch.equal(found.loss, plain.loss)


def test_the_teacher_gets_no_gradient():
    teacher, student = of_dtype(layer(3), torch.float32), of_dtype(layer(2, seed=1), torch.float32)
    teacher.key_BJKD.requires_grad_()
    with pytest.raises(ValueError, match="no gradient"):
        triton_loss.triton_loss(teacher, student, None, method="amad", options={})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["none", "causal, shared", "padding, bias"])
def test_through_the_losses_as_a_gpu_machine_checks_them(kind):
    said, fits = fused.line(fused.Case(5, (2, 4), 8, kind, torch.float32), "cpu")
    assert fits, said
