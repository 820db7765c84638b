"""The composed loss: which parts, which weights, and how it reads."""

import pytest
import torch
from safetensors.torch import load_file

from amad_bench.models.attention.recorder import record
from amad_bench.models.checkpoints import save_parameters
from amad_bench.plan.catalogue import LOSSES
from amad_bench.plan.run_config import UsedLoss
from amad_bench.runtime.errors import UserError
from amad_bench.training.distill import Objective
from tests.tiny_models import tiny_batch, tiny_model

AMAD = UsedLoss(
    name="amad",
    label="amad_kl",
    options={"variant": "kl"},
    loss_weights={"ce": 1.0, "logit_kd": 0.5, "attention": 20.0},
    logit_temperature=2.0,
    sites=["encoder.self"],
    layer_map="last",
)
NO_ATTENTION = {"logit_temperature": None, "sites": [], "layer_map": None}


def _traces():
    batch = tiny_batch("vlt5")
    for heads, seed in ((4, 1), (2, 2)):
        model = tiny_model("vlt5", heads=heads, seed=seed).eval()
        with record(model, ["encoder.self"], hidden=True) as recorder:
            yield recorder.trace(model(**batch), batch["labels"])


def test_the_sum_is_weighted_and_the_parts_are_not():
    teacher, student = _traces()
    total, parts, _ = Objective(AMAD)(teacher, student)
    assert list(parts) == ["ce", "logit_kd", "attention"]
    expected = parts["ce"] + 0.5 * parts["logit_kd"] + 20 * parts["attention"]
    torch.testing.assert_close(total, expected)
    equal = {"loss_weights": {"ce": 1.0, "logit_kd": 1.0, "attention": 1.0}}
    unweighted = Objective(AMAD.model_copy(update=equal))
    assert unweighted(teacher, student).parts["attention"] == parts["attention"]


@pytest.mark.trap("ce-1")
@pytest.mark.trap("fair-2")
@pytest.mark.parametrize(
    ("loss", "text", "parts", "needs_teacher"),
    [
        (AMAD, "loss = 1 * ce + 0.5 * logit_kd + 20 * amad_kl", ["ce", "logit_kd", "attention"], True),
        (
            UsedLoss(name="ce", label="ce", options={}, loss_weights={"ce": 1.0}, **NO_ATTENTION),
            "loss = 1 * ce",
            ["ce"],
            False,
        ),
        (
            UsedLoss(
                name="logit_kd",
                label="logit_kd",
                options={"temperature": 4.0},
                loss_weights={"ce": 1.0, "logit_kd": 1.0},
                **NO_ATTENTION,
            ),
            "loss = 1 * ce + 1 * logit_kd",
            ["ce", "logit_kd"],
            True,
        ),
    ],
)
def test_composition(loss, text, parts, needs_teacher):
    objective = Objective(loss)
    assert str(objective) == text
    assert objective.needs_teacher == needs_teacher
    teacher, student = _traces()
    assert list(objective(teacher, student).parts) == parts


def other(name, **options):
    """Another loss in AMAD's place."""
    complete = LOSSES[name].complete(options)
    return AMAD.model_copy(update={"name": name, "label": name, "options": complete})


@pytest.mark.parametrize("name", ["a2d", "hidden_mse"])
def test_parameters_depend_on_the_seed_alone_and_leave_the_global_generator(name):
    teacher, student = _traces()
    drawn = {}
    for seed in (1, 1, 2):
        objective = Objective(other(name), seed)
        state = torch.get_rng_state()
        objective.materialise(teacher, student)
        assert torch.equal(state, torch.get_rng_state())
        drawn.setdefault(seed, []).append(torch.cat([p.flatten() for p in objective.parameters()]))
    assert torch.equal(*drawn[1])
    assert not torch.equal(drawn[1][0], drawn[2][0])


@pytest.mark.parametrize("name", ["a2d", "hidden_mse"])
def test_saved_parameters_are_resumed(name, tmp_path):
    """Loaded before any trace was seen, as after a restart."""
    teacher, student = _traces()
    objective = Objective(other(name), 1)
    objective.materialise(teacher, student)
    save_parameters(objective, tmp_path / "loss.safetensors")
    resumed = Objective(other(name), 2)
    resumed.load_state_dict(load_file(tmp_path / "loss.safetensors"))
    assert torch.equal(resumed(teacher, student).total, objective(teacher, student).total)


def test_random_alignment_is_drawn_from_the_seed():
    teacher, student = _traces()
    first, again, second = (
        Objective(other("random_alignment"), seed)(teacher, student).parts["attention"] for seed in (1, 1, 2)
    )
    assert first == again != second


def test_a_decaying_weight_leaves_the_logged_part_alone():
    """A2D: .9 to the number of finished epochs."""
    teacher, student = _traces()
    objective = Objective(other("a2d"))
    objective.materialise(teacher, student)
    total, parts, _ = objective(teacher, student, epoch=3)
    expected = parts["ce"] + 0.5 * parts["logit_kd"] + 20 * 0.81 * parts["attention"]
    torch.testing.assert_close(total, expected)
    assert objective(teacher, student, epoch=1).parts["attention"] == parts["attention"]


def test_only_losses_that_align_have_an_alignment():
    teacher, student = _traces()
    for name, keys in (("amad", ["encoder.self/1"]), ("head_mean", [])):
        assert list(Objective(other(name))(teacher, student).alignment) == keys


def test_maps_that_a_loss_cannot_use_are_a_users_error():
    """75 x 75 entries are too many for a projection."""
    traces = []
    for heads, seed in ((4, 1), (2, 2)):
        batch = tiny_batch("vlt5")
        long = batch["input_ids"].repeat(1, 12)
        batch |= {"input_ids": long, "attention_mask": long.ne(0).long()}
        model = tiny_model("vlt5", heads=heads, seed=seed).eval()
        with record(model, ["encoder.self"]) as recorder:
            traces.append(recorder.trace(model(**batch), batch["labels"]))
    with pytest.raises(UserError, match=r"loss amad cannot be used here: encoder.self: .* 31,640,625"):
        Objective(other("amad", variant="projected")).materialise(*traces)
