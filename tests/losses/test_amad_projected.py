"""The projection of AMAD's third variant: its gradient, its start, its limits, its life in a module."""

import pytest
import torch
from torch.testing import assert_close

from amad_bench.losses import amad_loss, build_loss
from amad_bench.losses.amad_projected import initial_projection
from tests.losses import naive
from tests.losses.cases import layer_trace, make_case, trace
from tests.losses.test_maps_against_naive import projection_for


def traces(queries=5, heads=2):
    return trace({"a.self": [layer_trace(4, queries=queries)]}), trace(
        {"a.self": [layer_trace(heads, queries=queries, seed=1)]}
    )


def projected(**options):
    return build_loss("amad", variant="projected", **options)


@pytest.mark.parametrize("mask", ["none", "all"])
def test_gradients_of_the_projection_agree_with_loops(mask):
    case = make_case("H < G", mask)
    pair = case.teacher_BHQK, case.student_BGQK
    gradients = []
    for function, more in ((amad_loss, case.masks), (naive.amad, {"valid_BQK": case.valid_BQK})):
        projection = tuple(part.requires_grad_() for part in projection_for(3, 4))
        function(*pair, variant="projected", projection=projection, **more).backward()
        gradients.append([part.grad for part in projection])
    assert gradients[0][0].abs().max() > 1e-3
    assert_close(gradients[0], gradients[1], rtol=1e-9, atol=1e-11)


def test_a_projection_that_changes_nothing_leaves_kl():
    case = make_case("H = G, square", "all")
    pair = case.teacher_BHQK, case.student_BGQK
    identity = torch.eye(25), torch.zeros(25)
    assert_close(
        amad_loss(*pair, **case.masks, variant="projected", projection=identity),
        amad_loss(*pair, **case.masks),
        rtol=1e-12,
        atol=0,
    )


@pytest.mark.trap("amad-9")
def test_rows_that_relu_empties_cost_the_floor_and_stay_finite():
    case = make_case("H = G, square")
    student = case.student_BGQK.float().requires_grad_()
    weight_nn = torch.eye(25).requires_grad_()
    loss = amad_loss(
        case.teacher_BHQK.float(),
        student,
        variant="projected",
        projection=(weight_nn, torch.full((25,), -9.0)),
    )
    loss.backward()
    entropy = torch.special.entr(case.teacher_BHQK).sum((2, 3)).mul(1 / 5).sum(1).mean()
    assert_close(loss.double(), 4 * 12 * 2.302585093 - entropy, rtol=1e-6, atol=0)
    for gradient in (student.grad, weight_nn.grad):
        assert gradient is None or gradient.isfinite().all()


@pytest.mark.trap("amad-10")
def test_it_starts_near_the_identity_with_a_bias_of_one_over_the_keys():
    weight_nn, bias_n = initial_projection(20, 30)
    assert_close(bias_n, torch.full((600,), 1 / 30))
    assert_close(weight_nn, torch.eye(600), rtol=0, atol=0.01)
    assert not torch.equal(weight_nn, torch.eye(600))


@pytest.mark.trap("amad-11")
def test_large_maps_are_refused_with_the_size_that_they_would_need():
    """BLIP at 384 px: 577 x 577 entries."""
    message = r"332,929 x 332,929 = 110,841,719,041 numbers for maps of 577 x 577, more than 4,096 x 4,096"
    with pytest.raises(ValueError, match=message):
        initial_projection(577, 577)
    maps = torch.rand(1, 2, 64, 65)
    with pytest.raises(ValueError, match=r"4,160 x 4,160"):
        amad_loss(maps, maps, variant="projected", projection=(torch.eye(4), torch.zeros(4)))
    with pytest.raises(ValueError, match=r"^a\.self: variant 'projected' would need .* 65 x 65"):
        projected().materialise(*traces(queries=65))
    assert initial_projection(64, 64)[1].shape == (4096,)


def test_a_projection_must_be_there_fit_and_be_used():
    maps = torch.rand(2, 3, 4, 5)
    with pytest.raises(ValueError, match=r"variant 'projected' needs projection=\(W_nn, b_n\)"):
        amad_loss(maps, maps, variant="projected")
    with pytest.raises(ValueError, match=r"shapes \(20, 20\) and \(5,\), but maps of 4 x 5 need"):
        amad_loss(maps, maps, variant="projected", projection=(torch.eye(20), torch.zeros(5)))
    with pytest.raises(ValueError, match="projection is not used by variant 'kl'"):
        amad_loss(maps, maps, projection=(torch.eye(20), torch.zeros(20)))


def test_parameters_come_with_the_first_traces_and_stay():
    teacher, student = traces()
    loss = projected()
    assert not list(loss.parameters())
    torch.manual_seed(5)
    loss.materialise(teacher, student)
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    assert {name: tuple(value.shape) for name, value in before.items()} == {
        "weights.a-self/0/0": (25, 25),
        "biases.a-self/0/0": (25,),
    }
    loss.materialise(teacher, student)
    loss(teacher, student)["attention"].backward()
    assert all(torch.equal(loss.state_dict()[name], value) for name, value in before.items())
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in loss.parameters())
    torch.manual_seed(5)
    again = projected()
    again(teacher, student)  # materialises by itself
    assert torch.equal(again.state_dict()["weights.a-self/0/0"], before["weights.a-self/0/0"])


def test_each_mapped_pair_of_layers_has_its_own():
    layers = [layer_trace(4, seed=i) for i in range(3)]
    loss = projected(layer_map=[[0, 0], [0, 2]])
    loss.materialise(trace({"a": layers}), trace({"a": [layer_trace(2)]}))
    assert set(loss.state_dict()) == {
        f"{part}.a/0/{layer}" for part in ("weights", "biases") for layer in (0, 2)
    }


def test_a_state_dict_can_be_loaded_before_any_trace_was_seen():
    teacher, student = traces()
    saved, resumed = projected(), projected()
    saved.materialise(teacher, student)
    resumed.load_state_dict(saved.state_dict())
    resumed.materialise(teacher, student)
    assert torch.equal(resumed(teacher, student)["attention"], saved(teacher, student)["attention"])
    materialised = projected()
    materialised.materialise(teacher, student)
    parameters = list(materialised.parameters())
    materialised.load_state_dict(saved.state_dict())
    assert [id(p) for p in parameters] == [id(p) for p in materialised.parameters()]
    with pytest.raises(RuntimeError, match=r"Missing key.*weights\.a-self/0/0"):
        materialised.load_state_dict({})


@pytest.mark.trap("amad-11")
def test_maps_of_another_size_are_refused():
    loss = projected()
    loss(*traces())
    with pytest.raises(ValueError, match=r"^a\.self: .* one fixed size: .*\(25, 25\).* maps of 6 x 6 need"):
        loss(*traces(queries=6))


def test_the_projection_is_trained_towards_the_teacher():
    teacher, student = traces()
    loss = projected()
    loss.materialise(teacher, student)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.01)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        value = loss(teacher, student)["attention"]
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert losses[-1] < 0.75 * losses[0]
