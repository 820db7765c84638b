"""Losses that read values, on traces of grouped queries: fewer heads of keys and values than of queries."""

import pytest
import torch
from torch.testing import assert_close

from amad_bench.losses import build_loss
from amad_bench.models.attention.trace import LayerTrace
from tests.losses import naive_minilm, naive_shd
from tests.losses.cases import trace

TOKENS_BL = torch.tensor([[True] * 4, [True, True, True, False], [False, True, True, True]])
VALID_BQK = TOKENS_BL[:, :, None] & TOKENS_BL[:, None, :] & torch.ones(4, 4, dtype=torch.bool).tril()
# loss -> heads of queries and of keys: of the teacher, of the student
HEADS = {"minilm": ((4, 2), (4, 1)), "minilm_v2": ((4, 2), (6, 3)), "shd": ((6, 2), (3, 1))}


def layer(heads, key_heads, size, seed):
    """In float64; queries, keys and values are leaves."""
    source = torch.Generator().manual_seed(seed)
    query, key, value = (
        torch.randn(3, n, 4, size, generator=source, dtype=torch.float64).requires_grad_()
        for n in (heads, key_heads, key_heads)
    )
    weight_HDd = torch.randn(heads, size, 5, generator=source, dtype=torch.float64)
    mask_B1QK = (TOKENS_BL[:, None, None, :] & torch.ones(4, 4, dtype=torch.bool).tril()).contiguous()
    return LayerTrace(query, key, value, size**-0.5, None, mask_B1QK, TOKENS_BL, weight_HDd)


def by_head(tensor_BJLD, heads):
    """The key head of each head of queries, looked up head by head."""
    key_heads = tensor_BJLD.shape[1]
    return torch.stack([tensor_BJLD[:, h * key_heads // heads] for h in range(heads)], dim=1)


def maps(one):
    """Softmax row by row over what a row may attend to."""
    heads = one.query_BHQD.shape[1]
    scores_BHQK = one.scale * torch.einsum("bhqd,bhkd->bhqk", one.query_BHQD, by_head(one.key_BJKD, heads))
    return scores_BHQK.masked_fill(~VALID_BQK[:, None], -1e300).softmax(-1)


def expected(name, teacher, student):
    if name == "minilm_v2":  # relations of the keys and values that there are
        six = [x for one in (teacher, student) for x in (one.query_BHQD, one.key_BJKD, one.value_BJKD)]
        return naive_minilm.minilm_v2(*six, VALID_BQK, relation_heads=2)
    values = [by_head(one.value_BJKD, one.query_BHQD.shape[1]) for one in (teacher, student)]
    if name == "minilm":
        return naive_minilm.minilm(maps(teacher), maps(student), *values, VALID_BQK)
    return naive_shd.shd(maps(teacher), maps(student), values[0], teacher.output_weight_HDd, VALID_BQK)


@pytest.mark.parametrize("kernel", ["dense", "chunked"])
@pytest.mark.parametrize("name", HEADS)
def test_value_and_gradients_are_those_of_loops_over_heads(name, kernel):
    teacher, student = (layer(*heads, 2 + 2 * i, seed=i) for i, heads in enumerate(HEADS[name]))
    for tensor in (teacher.query_BHQD, teacher.key_BJKD, teacher.value_BJKD):
        tensor.requires_grad_(False)
    inputs = [student.query_BHQD, student.key_BJKD, student.value_BJKD]
    wanted = expected(name, teacher, student)
    options = {"relation_heads": 2} if name == "minilm_v2" else {}
    loss = build_loss(name, kernel=kernel, **options)
    found = loss(trace({"a": [teacher]}), trace({"a": [student]}))["attention"]
    assert_close(found, wanted, rtol=1e-9, atol=0)
    gradients, theirs = (torch.autograd.grad(x, inputs, materialize_grads=True) for x in (found, wanted))
    assert_close(gradients, theirs, rtol=1e-8, atol=1e-11)


def test_relation_heads_must_divide_the_width_of_the_keys_too():
    teacher, student = (layer(4, key_heads, 2, seed=0) for key_heads in (4, 1))
    with pytest.raises(
        ValueError,
        match=r"^a: minilm_v2: relation_heads 4 .* has 4 heads of keys of 2 and the student 1 of 2$",
    ):
        build_loss("minilm_v2", relation_heads=4)(trace({"a": [teacher]}), trace({"a": [student]}))
