"""What all trainings share: the schedule, which parameters decay, when to validate, the choice of weights."""

import copy
from math import cos, pi

import pytest
import torch
from torch import nn

from amad_bench.plan.config.training import Training
from amad_bench.plan.run_config import UsedLoss
from amad_bench.training.distill import Objective
from amad_bench.training.optim import BestWeights, Updates, evaluation_steps, parameter_groups, rate_factor
from tests.tiny_models import tiny_model

OPTIONS = Training(
    examples="all",
    steps=4,
    batch=2,
    learning_rate=0.1,
    warmup=0.5,
    weight_decay=0.0,
    clip=5.0,
    evaluations=1,
    schedule="linear",
)
CE = UsedLoss(
    name="ce",
    label="ce",
    options={},
    loss_weights={"ce": 1.0},
    logit_temperature=None,
    sites=[],
    layer_map=None,
)


def rates(schedule: str, steps: int, warmup: float) -> list[float]:
    return [rate_factor(schedule, step, steps, warmup) for step in range(steps + 1)]


@pytest.mark.trap("train-3")
def test_linear_schedule_rises_then_falls_to_zero():
    """100 steps, 10 % warm-up: 1/10, 2/10, ..., 1 at the tenth step, then linear to 0 after the last."""
    factors = rates("linear", 100, 0.1)
    assert factors[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert factors[9:12] == pytest.approx([1.0, 1.0, 89 / 90])
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == 0.0
    assert rate_factor("linear", 0, 10, 0.0) == 1.0
    # 6 steps: the warm-up of .6 steps ends within the first, never above the given rate
    assert rates("linear", 6, 0.1)[:6] == pytest.approx([1.0, 5 / 5.4, 4 / 5.4, 3 / 5.4, 2 / 5.4, 1 / 5.4])


@pytest.mark.trap("train-5")
def test_cosine_schedule_is_half_a_period():
    """BLIP's: (1 + cos(pi t / T)) / 2 without warm-up; with one, the same on what is left."""
    assert rates("cosine", 8, 0.0) == pytest.approx([(1 + cos(pi * t / 8)) / 2 for t in range(9)], abs=1e-15)
    factors = rates("cosine", 100, 0.1)
    assert factors[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert factors[10] == 1.0
    assert factors[55] == pytest.approx(0.5)
    assert factors[32] == pytest.approx((1 + cos(pi * 22 / 90)) / 2)
    assert factors[100] == 0.0


def test_another_schedule_is_refused():
    with pytest.raises(ValueError, match=r"unknown schedule 'constant'\. Known: linear, cosine"):
        rate_factor("constant", 5, 10, 0.1)


@pytest.mark.trap("train-1")
@pytest.mark.parametrize(
    ("kind", "decayed", "free"),
    [
        # official VL-T5 decays T5's norms, whose name its exclusion misses, but no relative bias
        (
            "vlt5",
            ["layer_norm.weight", "shared.weight", "SelfAttention.q.weight"],
            ["relative_attention_bias"],
        ),
        ("blip-vqa", ["self.query.weight"], ["LayerNorm.weight", "LayerNorm.bias", "query.bias"]),
    ],
)
def test_weight_decay_also_on_t5_norms_but_not_on_the_relative_bias(kind, decayed, free):
    model = tiny_model(kind)
    objective = Objective(CE)
    groups = parameter_groups([model, objective], 0.01)
    assert [group["weight_decay"] for group in groups] == [0.01, 0.0]
    kept, excluded = ({id(p) for p in group["params"]} for group in groups)
    names = dict(model.named_parameters())
    for wanted, where in ((decayed, kept), (free, excluded)):
        for part in wanted:
            found = [id(p) for name, p in names.items() if part in name]
            assert found
            assert where.issuperset(found)
    assert len(kept) + len(excluded) == len(names)


def test_frozen_parameters_are_left_alone():
    layer, frozen = nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False)
    before = frozen.weight.clone()
    updates = Updates([layer, frozen], OPTIONS.model_copy(update={"weight_decay": 0.5}))
    assert len(updates.parameters) == 2
    updates.step(frozen(layer(torch.ones(1, 2))).sum())
    assert torch.equal(frozen.weight, before)


def test_a_step_tells_its_rate_and_the_norm_before_clipping():
    """Gradient (3, 4) of norm 5; AdamW's first step has the size of the rate, whatever the gradient."""
    layer = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(layer.weight)
    updates = Updates([layer], OPTIONS.model_copy(update={"clip": 1.0}))
    norm = updates.step(layer(torch.tensor([[3.0, 4.0]])).sum())
    assert norm.item() == pytest.approx(5.0)
    assert updates.rate == pytest.approx(0.05)  # the first of two steps of warm-up
    assert layer.weight.detach().flatten().tolist() == pytest.approx([-0.05, -0.05], rel=1e-4)
    updates.step(layer(torch.tensor([[3.0, 4.0]])).sum())
    assert updates.rate == pytest.approx(0.1)


@pytest.mark.trap("train-2")
def test_adamw_has_the_epsilon_of_the_official_code():
    """1e-6: the first step is rate * g / (|g| + eps), half of the rate for a gradient as small as that."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    Updates([layer], OPTIONS.model_copy(update={"warmup": 0.0})).step(layer(torch.tensor([[1e-6]])).sum())
    assert layer.weight.item() == pytest.approx(-0.05, rel=1e-3)


def test_updates_follow_the_schedule_that_is_asked_for():
    layer = nn.Linear(1, 1)
    updates = Updates([layer], OPTIONS.model_copy(update={"warmup": 0.0, "schedule": "cosine"}))
    seen = []
    for _ in range(4):
        updates.step(layer(torch.ones(1, 1)).sum())
        seen.append(updates.rate)
    assert seen == pytest.approx([0.05 * (1 + cos(pi * t / 4)) for t in range(4)])


def test_the_last_step_is_always_an_evaluation():
    assert evaluation_steps(OPTIONS.model_copy(update={"steps": 7, "evaluations": 3})) == {2, 5, 7}


def test_the_best_weights_come_back_the_earlier_ones_on_a_tie():
    layer = nn.Linear(1, 1)
    best = BestWeights([layer])
    for step, score in ((1, -3.0), (2, -1.0), (3, -1.0), (4, -2.0)):
        nn.init.constant_(layer.weight, float(step))
        best.offer(score, step)
    best.restore()
    assert (best.step, layer.weight.item()) == (2, 2.0)


def test_updates_go_on_where_others_stopped():
    """Against torch's own state: three steps here, or one here and two there, give the same bits."""
    options = OPTIONS.model_copy(update={"steps": 5})
    inputs = torch.tensor([[3.0, 4.0]])

    def stepped(layer: nn.Linear, updates: Updates, count: int) -> None:
        for _ in range(count):
            updates.step(layer(inputs).square().sum())

    torch.manual_seed(0)
    whole = nn.Linear(2, 1)
    part = copy.deepcopy(whole)
    other = copy.deepcopy(whole)
    expected = Updates([whole], options)
    stepped(whole, expected, 3)
    first = Updates([part], options)
    stepped(part, first, 1)
    other.load_state_dict(part.state_dict())
    second = Updates([other], options)
    second.restore({name: value.clone() for name, value in first.state().items()}, 1)
    stepped(other, second, 2)
    assert torch.equal(other.weight, whole.weight)
    assert torch.equal(other.bias, whole.bias)
    assert second.rate == expected.rate
    assert all(torch.equal(value, second.state()[name]) for name, value in expected.state().items())


def test_tied_weights_are_kept_once_in_the_memory_of_the_cpu():
    tied = nn.ModuleDict({"a": nn.Linear(1, 1, bias=False), "b": nn.Linear(1, 1, bias=False)})
    tied["b"].weight = tied["a"].weight
    best = BestWeights([tied])
    nn.init.constant_(tied["a"].weight, 2.0)
    best.offer(1.0, 1)
    nn.init.constant_(tied["a"].weight, 3.0)
    assert [list(state) for state in best.states] == [["a.weight"]]
    assert best.states[0]["a.weight"].device.type == "cpu"
    best.restore()
    assert tied["b"].weight.item() == 2.0


def test_better_weights_take_the_place_of_the_best():
    """Memory never holds two copies."""
    layer = nn.Linear(1, 1, bias=False)
    best = BestWeights([layer])
    for score in (1.0, 2.0):
        nn.init.constant_(layer.weight, score)
        best.offer(score, int(score))
        if score == 1.0:
            place = best.states[0]["weight"].data_ptr()
    assert best.states[0]["weight"].data_ptr() == place
    assert best.states[0]["weight"].item() == 2.0
