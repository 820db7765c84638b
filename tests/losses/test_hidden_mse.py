import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from amad_bench.losses import build_loss, hidden_mse_loss
from tests.losses import agreement, naive_tinybert
from tests.losses.cases import GARBAGE, layer_trace, trace

TOKENS = {
    "all": torch.ones(3, 4, dtype=torch.bool),
    "padded": torch.tensor([[True] * 4, [True, True, False, False], [True, False, False, False]]),
    "empty sample": torch.tensor([[False] * 4, [True, True, True, False], [True] * 4]),
}


def masked(teacher, student, weight, tokens_BL):
    return hidden_mse_loss(teacher, student, weight, token_mask_BL=tokens_BL)


def inputs(tokens_BL, seed=0):
    """Widths 3 (teacher) and 5 (student); garbage at invalid tokens."""
    source = agreement.generator(seed)
    states = [agreement.random_vectors(1, width, tokens_BL, source)[:, 0] for width in (3, 5)]
    return [*states, torch.randn(5, 3, generator=source, dtype=torch.float64)]


@pytest.mark.trap("hidden-mse-1")
@pytest.mark.parametrize("tokens", TOKENS)
def test_value_and_gradients_agree_with_loops(tokens):
    tensors = inputs(TOKENS[tokens])
    got = agreement.value_and_gradients(masked, tensors, TOKENS[tokens], scale=-2.0)
    expected = agreement.value_and_gradients(naive_tinybert.hidden_mse, tensors, TOKENS[tokens], scale=-2.0)
    assert_close(got, expected, rtol=1e-10, atol=1e-12)


def test_gradients_agree_with_finite_differences():
    tensors = [torch.where(x.abs() < 1e6, x, 0.3).requires_grad_() for x in inputs(TOKENS["padded"])]
    torch.autograd.gradcheck(lambda *x: masked(*x, TOKENS["padded"]), tensors)


@pytest.mark.parametrize(
    ("dtype", "rtol"), [(torch.float32, 1e-4), (torch.bfloat16, 1e-2), (torch.float16, 2e-3)]
)
def test_lower_precision_is_computed_in_float32(dtype, rtol):
    tensors = [x.to(dtype) for x in inputs(TOKENS["padded"])]
    got = agreement.value_and_gradients(masked, tensors, TOKENS["padded"])
    exact = [x.double() for x in tensors]
    expected = agreement.value_and_gradients(naive_tinybert.hidden_mse, exact, TOKENS["padded"])
    assert got[0].dtype == torch.float32
    assert_close(got[0].double(), expected[0], rtol=1e-5, atol=0)
    for gradient, reference in zip(got[1:], expected[1:], strict=True):
        assert_close(gradient.double(), reference, rtol=rtol, atol=rtol / 10)


def test_no_valid_token_is_zero_with_zero_gradient():
    nothing = torch.zeros(3, 4, dtype=torch.bool)
    for result in agreement.value_and_gradients(masked, inputs(nothing), nothing):
        assert torch.equal(result, torch.zeros_like(result))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), garbage=st.sampled_from(GARBAGE))
def test_zero_where_the_map_reaches_the_teacher_whatever_padding_holds(seed, garbage):
    tokens_BL = TOKENS["padded"]
    _, student, weight = inputs(tokens_BL, seed)
    teacher = torch.where(tokens_BL[..., None], student, 0.0) @ weight
    teacher[~tokens_BL] = garbage
    assert masked(teacher, student, weight, tokens_BL) < 1e-24
    assert_close(
        masked(teacher, student, -weight, tokens_BL), 4 * masked(teacher, student, 0 * weight, tokens_BL)
    )


@pytest.mark.trap("hidden-mse-1")
def test_the_weight_is_created_once_and_by_stack_and_is_saved():
    """Sites of one stack share its hidden states and its W: they are compared once."""
    sites = ["encoder.self", "decoder.self", "decoder.cross"]
    teacher, student = (trace({site: [layer_trace(n)] * 2 for site in sites}) for n in (4, 2))
    torch.manual_seed(3)
    loss = build_loss("hidden_mse")
    assert list(loss.parameters()) == []
    loss.materialise(None, student)
    loss.materialise(teacher, student)
    first = {name: tuple(value.shape) for name, value in loss.state_dict().items()}
    assert first == {"weights.encoder": (6, 12), "weights.decoder": (6, 12)}
    assert all(parameter.abs().max() <= 6**-0.5 for parameter in loss.parameters())
    value = loss(teacher, student)["attention"]
    terms = [
        hidden_mse_loss(teacher.hidden[s][1], student.hidden[s][1], loss.get_parameter(f"weights.{s}"))
        for s in ("encoder", "decoder")
    ]
    assert_close(value, sum(terms) / 2)
    again = build_loss("hidden_mse")
    again.load_state_dict(loss.state_dict())
    assert torch.equal(again(teacher, student)["attention"], value)


def test_the_layer_map_and_padding_are_those_of_the_traces():
    real_BQ = torch.tensor([[True] * 5, [True, True, False, False, False]])
    teacher = trace({"encoder.self": [layer_trace(2) for _ in range(4)]})
    student = trace({"encoder.self": [layer_trace(2, query_mask_BQ=real_BQ) for _ in range(2)]}, seed=1)
    loss = build_loss("hidden_mse", layer_map="uniform")
    value = loss(teacher, student)["attention"]
    weight = loss.get_parameter("weights.encoder")
    terms = [
        hidden_mse_loss(
            teacher.hidden["encoder"][j], student.hidden["encoder"][i], weight, token_mask_BL=real_BQ
        )
        for i, j in ((0, 1), (1, 3))
    ]
    assert_close(value, sum(terms) / 2)


def test_mistakes_are_named():
    teacher, student = (trace({"encoder.self": [layer_trace(n)]}) for n in (4, 2))
    student.hidden = {}
    with pytest.raises(
        ValueError, match=r"the student's trace has no hidden states of 'encoder'; set hidden=True"
    ):
        build_loss("hidden_mse")(teacher, student)
    with pytest.raises(ValueError, match=r"teacher states \(2, 3, 4\) and student states \(2, 4, 4\)"):
        hidden_mse_loss(torch.rand(2, 3, 4), torch.rand(2, 4, 4), torch.rand(4, 4))
    with pytest.raises(ValueError, match=r"weight \(4, 5\), expected \(5, 4\)"):
        hidden_mse_loss(torch.rand(2, 3, 4), torch.rand(2, 3, 5), torch.rand(4, 5))
