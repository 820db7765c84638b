"""A Distiller's parts against formulas on transformers' own eager attention; and what belongs to whom."""

import copy
import re

import pytest
import torch

from amad_bench import Distiller
from tests.distil.pairs import batch, bert, classifier, llama, t5
from tests.losses import naive

# In float64, but for what transformers itself computes in float32: rotations and softmaxes of Llama, losses.
CLOSE = {"rtol": 2e-5, "atol": 0.0}


def _eager(model, inputs):
    """The model's own output in float64, by eager attention, with its maps and states."""
    twin = copy.deepcopy(model).double()
    for module in twin.modules():  # one by one: transformers 5.17 leaves T5's stacks as they are
        if hasattr(module, "config"):
            module.config._attn_implementation = "eager"
    return twin(**inputs, output_attentions=True, output_hidden_states=True)


def _valid(inputs, causal):
    """Queries and keys that are real tokens, entry by entry."""
    real_BL = inputs["attention_mask"].bool()
    valid_BQK = real_BL[:, :, None] & real_BL[:, None, :]
    return valid_BQK & torch.ones_like(valid_BQK[0]).tril() if causal else valid_BQK


@pytest.fixture
def pair():
    """Two causal language models in evaluation mode, 4 query and 2 key heads and 2 and 1, in float64."""
    return llama(4, 2, seed=1).double(), llama(2, 1, seed=2).double()


def test_parts_are_the_formulas_on_eager_maps(pair):
    """Labels are one token ahead of the logits, and -100 on a sample's prompt, whose attention counts."""
    teacher, student = pair
    inputs = batch()
    inputs["labels"][0, :3] = -100
    parts = Distiller(teacher, student, {"amad": {"weight": 3.0, "variant": "kl"}, "logit_kd": 0.5})(inputs)
    (taught, learnt), valid_BQK = (_eager(model, inputs) for model in pair), _valid(inputs, causal=True)
    amad = naive.amad(taught.attentions[-1], learnt.attentions[-1], valid_BQK)
    shifted = inputs["labels"][:, 1:]
    kd = naive.logit_kd(taught.logits[:, :-1], learnt.logits[:, :-1], shifted)
    assert list(parts) == ["amad", "logit_kd"]
    torch.testing.assert_close(parts["amad"], amad, **CLOSE)
    torch.testing.assert_close(parts["logit_kd"], kd, **CLOSE)
    torch.testing.assert_close(parts.total, 3 * amad + 0.5 * kd, **CLOSE)
    torch.testing.assert_close(parts.output.loss, learnt.loss.to(parts.output.loss), **CLOSE)
    assert parts.alignment["amad"]["decoder.self/1"].shape == (4, 2)


def test_every_layer_and_hidden_states_of_berts():
    """Uniform: layers 0 and 1 of the student with 1 and 3 of the teacher."""
    teacher, student = bert(4, seed=1, num_hidden_layers=4).double(), bert(2, seed=2).double()
    inputs = batch()
    distiller = Distiller(teacher, student, {"head_mean": 1.0, "hidden_mse": 1.0}, layer_map="uniform")
    distiller.materialise(inputs)
    parts = distiller(inputs)
    taught, learnt = (_eager(model, inputs) for model in (teacher, student))
    valid_BQK, real_BL = _valid(inputs, causal=False), inputs["attention_mask"].bool()
    pairs = [(0, 1), (1, 3)]
    maps = [naive.head_mean(taught.attentions[j], learnt.attentions[i], valid_BQK) for i, j in pairs]
    (weight_ed,) = distiller.parameters()
    states = []
    for i, j in pairs:
        square_BL = (taught.hidden_states[j + 1] - learnt.hidden_states[i + 1] @ weight_ed.double()).square()
        samples = [one[real].mean() for one, real in zip(square_BL, real_BL, strict=True)]
        states.append(sum(samples) / len(samples))
    torch.testing.assert_close(parts["head_mean"], sum(maps) / 2, **CLOSE)
    torch.testing.assert_close(parts["hidden_mse"], sum(states) / 2, **CLOSE)


def test_an_encoder_decoder_is_compared_at_all_its_sites():
    """Its labels stand beside its logits, and say which of the decoder's tokens are real."""
    teacher, student = t5(4, seed=1).double(), t5(2, seed=2).double()
    inputs = batch()
    inputs["labels"] = batch(tokens=5, seed=1)["labels"]
    parts = Distiller(teacher, student, {"head_mean": 1.0, "logit_kd": 1.0, "ce": 1.0})(inputs)
    taught, learnt = (_eager(model, inputs) for model in (teacher, student))
    real_BL, target_BL = inputs["attention_mask"].bool(), inputs["labels"] != -100
    valid = {
        "encoder": real_BL[:, :, None] & real_BL[:, None, :],
        "decoder": target_BL[:, :, None] & torch.ones(5, 5, dtype=torch.bool).tril(),
        "cross": target_BL[:, :, None] & real_BL[:, None, :],
    }
    maps = [
        naive.head_mean(getattr(taught, name)[-1], getattr(learnt, name)[-1], valid[name.split("_")[0]])
        for name in ("encoder_attentions", "decoder_attentions", "cross_attentions")
    ]
    torch.testing.assert_close(parts["head_mean"], sum(maps) / 3, **CLOSE)
    kd = naive.logit_kd(taught.logits, learnt.logits, inputs["labels"])
    torch.testing.assert_close(parts["logit_kd"], kd, **CLOSE)
    torch.testing.assert_close(parts["ce"], learnt.loss, **CLOSE)


def test_a_classifier_has_one_distribution_a_sample():
    teacher, student = classifier(4, seed=1).double(), classifier(2, seed=2).double()
    inputs = batch() | {"labels": torch.tensor([0, 2, 1])}
    taught, learnt = (_eager(model, inputs) for model in (teacher, student))
    labels_BL = inputs["labels"][:, None]
    expected = naive.logit_kd(taught.logits[:, None], learnt.logits[:, None], labels_BL)
    for given in (inputs, {name: tensor for name, tensor in inputs.items() if name != "labels"}):
        parts = Distiller(teacher, student, "logit_kd")(given)
        torch.testing.assert_close(parts["logit_kd"], expected, **CLOSE)


def test_without_labels_every_real_token_counts(pair):
    inputs = batch()
    del inputs["labels"]
    parts = Distiller(*pair, "logit_kd")(inputs)
    taught, learnt = (_eager(model, inputs) for model in pair)
    real_BL = inputs["attention_mask"].masked_fill(inputs["attention_mask"] == 0, -100)
    expected = naive.logit_kd(taught.logits, learnt.logits, real_BL)
    torch.testing.assert_close(parts["logit_kd"], expected, **CLOSE)


def test_the_gradient_reaches_the_student_alone_and_its_loss_falls(pair):
    teacher, student = pair
    distiller = Distiller(teacher, student, {"amad": 1.0, "logit_kd": 1.0}, layer_map="uniform")
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-3)
    totals = []
    for _ in range(6):
        parts = distiller(batch())
        optimizer.zero_grad()
        parts.total.backward()
        optimizer.step()
        totals.append(parts.total.item())
    assert 0 < totals[-1] < totals[0]
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(parameter.grad is not None for parameter in student.parameters())


def test_each_model_runs_once_with_its_own_inputs(pair):
    """And a teacher that has no use for labels computes no loss of them."""
    calls = []
    for model in pair:
        model.register_forward_pre_hook(
            lambda model, _, kwargs: calls.append((model, set(kwargs))), with_kwargs=True
        )
    teacher, student = pair
    inputs = batch()
    parts = Distiller(teacher, student, "amad")(inputs, {**inputs, "use_cache": False})
    assert calls == [
        (teacher, {"input_ids", "attention_mask"}),
        (student, {"input_ids", "attention_mask", "labels", "use_cache"}),
    ]
    assert parts.output.logits.shape == (3, 6, 40)


def test_both_models_stay_the_callers(pair):
    teacher, student = pair
    distiller = Distiller(teacher.train(), student.train(), {"amad": 1.0, "hidden_mse": 1.0})
    distiller.materialise(batch())
    assert (teacher.training, student.training) == (False, True)
    assert list(distiller.state_dict()) == [name for name, _ in distiller.named_parameters()]
    assert [tuple(p.shape) for p in distiller.parameters()] == [(8, 16)]
    distiller.train()
    assert not teacher.training
    distiller.eval()
    assert student.training
    teacher.train()
    distiller(batch())
    assert not teacher.training
    distiller.to("meta")
    assert {p.device.type for p in [*teacher.parameters(), *distiller.parameters()]} == {"meta"}
    assert {p.device.type for p in student.parameters()} == {"cpu"}


def test_the_losses_parameters_are_there_before_the_optimizer(pair):
    distiller = Distiller(*pair, {"hidden_mse": 1.0, "a2d": 2.0}, seed=3)
    with pytest.raises(ValueError, match=r"^the parameters of hidden_mse, a2d have no sizes yet: before"):
        torch.optim.Adam(distiller.parameters())
    state = torch.get_rng_state()
    distiller.materialise(batch())
    assert torch.equal(torch.get_rng_state(), state)
    drawn = copy.deepcopy(distiller.state_dict())
    parts = distiller(batch())
    assert all(torch.equal(drawn[name], tensor) for name, tensor in distiller.state_dict().items())
    assert parts.total == parts["hidden_mse"] + 2 * parts["a2d"]
    again = Distiller(*pair, {"hidden_mse": 1.0, "a2d": 2.0}, seed=3)
    torch.manual_seed(9)
    again(batch())  # the first call makes them, too
    assert all(torch.equal(drawn[name], tensor) for name, tensor in again.state_dict().items())
    loaded = Distiller(*pair, {"hidden_mse": 1.0, "a2d": 2.0}, seed=4)
    loaded.load_state_dict(drawn)
    loaded.materialise(batch())
    assert torch.equal(loaded(batch()).total, parts.total)
    parts.total.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in distiller.parameters())


def test_a2ds_weight_falls_with_epochs(pair):
    distiller = Distiller(*pair, {"a2d": 2.0})
    parts = distiller(batch(), epoch=3)
    torch.testing.assert_close(parts.total, 2 * 0.9**2 * parts["a2d"])


def test_nothing_stays_on_the_models(pair):
    before = [{name: dict(vars(module)) for name, module in model.named_modules()} for model in pair]
    Distiller(*pair, {"amad": 1.0, "hidden_mse": 1.0})(batch())
    after = [{name: dict(vars(module)) for name, module in model.named_modules()} for model in pair]
    for old, new in zip(before, after, strict=True):
        assert {name: list(attributes) for name, attributes in old.items()} == {
            name: list(attributes) for name, attributes in new.items()
        }
        assert not any(attributes["_forward_hooks"] for attributes in new.values())


LONGER = batch(tokens=7)


@pytest.mark.parametrize(
    ("losses", "options", "message"),
    [
        ("amat", {}, "unknown loss 'amat'. Did you mean 'amad'?"),
        ({}, {}, "losses: none is given; name one, such as 'amad'"),
        (
            {"amad": {"variant": "kll"}},
            {},
            "amad.variant: expected kl or mse or projected or token, found 'kll'",
        ),
        ({"amad": {"weight": "1"}}, {}, "amad.weight: expected a finite number, found '1'"),
        (
            "amad",
            {"sites": ["encoder.self"]},
            "the teacher: LlamaForCausalLM has no attention site 'encoder.self'; it has: decoder.self",
        ),
        ("amad", {"sites": "decoder.self"}, "sites 'decoder.self': expected a list of at least one site"),
        (
            "amad",
            {"layer_map": [[0, 2]]},
            "decoder.self: layer_map pair [0, 2] is outside the student's 2 and",
        ),
        ("amad", {"layer_map": "first"}, "decoder.self: layer_map 'first' is none of 'last', 'uniform'"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_said_in_one_line(pair, losses, options, message):
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}[^\n]*$"):
        Distiller(*pair, losses, **options)


def test_a_model_cannot_teach_itself(pair):
    with pytest.raises(ValueError, match=r"^teacher and student are one model; copy\.deepcopy it for[^\n]*$"):
        Distiller(pair[0], pair[0], "amad")


def test_models_without_a_common_site():
    with pytest.raises(ValueError, match=r"no attention site: the teacher encoder\.self and the student"):
        Distiller(bert(4), llama(2, 1), "amad")


@pytest.mark.parametrize(
    ("models", "losses", "inputs", "message"),
    [
        ((llama(4, 2, vocab_size=41), llama(2, 1)), "logit_kd", (batch(),), "logit_kd needs one vocabulary"),
        (
            (llama(4, 2), llama(2, 1)),
            "amad",
            (batch(), LONGER),
            r"decoder.self: teacher maps \(3, 4, 6, 6\) and",
        ),
        (
            (llama(4, 2), llama(2, 1)),
            "logit_kd",
            (batch(), LONGER),
            r"teacher logits \(3, 6, 40\) and student",
        ),
        (
            (llama(4, 2), llama(2, 1)),
            "one_to_one",
            (batch(),),
            "decoder.self: one_to_one compares head h with",
        ),
        (
            (llama(4, 2).model, llama(2, 1).model),
            "logit_kd",
            ({"input_ids": batch()["input_ids"]},),
            "the teacher's output has no logits",
        ),
        ((llama(4, 2), llama(2, 1)), "ce", ({"input_ids": batch()["input_ids"]},), "ce needs `labels`"),
    ],
    ids=["vocabularies", "lengths", "lengths of logits", "heads", "no head", "no labels"],
)
def test_what_cannot_be_compared_is_said_in_one_line(models, losses, inputs, message):
    with pytest.raises(ValueError, match=rf"^{message}[^\n]*$"):
        Distiller(*models, losses)(*inputs)
