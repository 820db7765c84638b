"""VL-T5's pre-training loss by hand; equality with the official code stands in test_vlt5_official.py."""

import pytest
import torch

from amad_bench.losses import ce_loss
from amad_bench.models.heads import head_partition
from amad_bench.models.start import load_start
from amad_bench.models.vlt5.pretraining import PREFIXES, PRETRAIN_TASKS, Vlt5Pretrainer
from amad_bench.models.weights import Weights
from amad_bench.plan.config.training import Training
from amad_bench.training.optim import Updates
from tests.tiny_models import run_config, tiny_batch, tiny_model

LM, QA, ITM, GROUND_CAPTION, REFER = range(5)


@pytest.mark.trap("pre-2")
def test_every_task_has_its_official_prefix():
    assert PRETRAIN_TASKS == ("lm", "qa", "itm", "ground_caption", "refer")
    assert PREFIXES == {
        "lm": "span prediction:",
        "qa": "vqa:",
        "itm": "image text match:",
        "ground_caption": "caption region:",
        "refer": "visual grounding:",
    }


def _by_hand(model, batch):
    """Each sample alone: the mean of -log p(label) over its labels."""
    losses = []
    logits = model(**batch).logits.detach()
    for sample, labels in zip(logits, batch["labels"], strict=True):
        steps = [step for step, label in enumerate(labels) if label != -100]
        picked = [sample[step].softmax(-1)[labels[step]].log() for step in steps]
        losses.append(-torch.stack(picked).mean())
    return torch.stack(losses)


def test_loss_is_the_mean_of_sample_means_and_parts_are_by_task():
    model, batch = tiny_model("vlt5").eval(), tiny_batch("vlt5")
    losses = _by_hand(model, batch)
    loss, parts = Vlt5Pretrainer(model)(torch.tensor([REFER, LM, REFER]), **batch)
    assert loss.item() == pytest.approx(losses.mean().item(), abs=1e-5)
    assert list(parts) == ["lm", "refer"]
    assert parts["lm"].item() == pytest.approx(losses[1].item(), abs=1e-5)
    assert parts["refer"].item() == pytest.approx((losses[0] + losses[2]).item() / 2, abs=1e-5)
    of_tokens = ce_loss(model(**batch).logits, batch["labels"]).item()
    assert abs(loss.item() - of_tokens) > 1e-3  # the samples differ in length


def test_a_sample_without_labels_counts_as_zero():
    model, batch = tiny_model("vlt5").eval(), tiny_batch("vlt5")
    losses = _by_hand(model, batch)
    batch["labels"] = batch["labels"].clone()
    batch["labels"][1] = -100
    loss, parts = Vlt5Pretrainer(model)(torch.tensor([QA, ITM, QA]), **batch)
    assert parts["itm"].item() == 0
    assert loss.item() == pytest.approx((losses[0] + losses[2]).item() / 3, abs=1e-5)


def test_gradient_reaches_every_weight_through_the_loss_alone():
    model = tiny_model("vlt5")
    loss, parts = Vlt5Pretrainer(model)(torch.tensor([LM, QA, GROUND_CAPTION]), **tiny_batch("vlt5"))
    assert not any(part.requires_grad for part in parts.values())
    loss.backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in model.parameters())


def test_task_weights_load_into_a_model_for_a_task():
    pretrainer = Vlt5Pretrainer(tiny_model("vlt5", seed=1))
    weights, other = pretrainer.task_weights(), tiny_model("vlt5", seed=2)
    assert set(weights) == {name for name, _ in other.named_parameters()}
    other.load_state_dict(weights, strict=False)
    batch = tiny_batch("vlt5")
    assert torch.equal(other.eval()(**batch).logits, pretrainer.vlt5.eval()(**batch).logits)


VISUAL = "encoder.visual_embedding."


def test_a_text_condition_neither_trains_nor_hands_on_what_sees():
    """It would be decayed towards 0 without ever being used, and then the same in every run."""
    pretrainer = Vlt5Pretrainer(tiny_model("vlt5", seed=1), "text")
    before = {name: tensor.clone() for name, tensor in pretrainer.vlt5.state_dict().items()}
    options = {"learning_rate": 1e-2, "clip": 1.0, "warmup": 0.0, "weight_decay": 0.5, "steps": 5}
    updates = Updates(
        [pretrainer.train()], Training(**options, examples="all", batch=3, evaluations=1, schedule="linear")
    )
    for _ in range(5):
        updates.step(pretrainer(torch.tensor([LM, LM, LM]), **tiny_batch("vlt5"))[0])
    after = pretrainer.vlt5.state_dict()
    visual = {name for name in before if name.startswith(VISUAL)}
    assert len(visual) == 6  # two projections with bias and norm
    assert {name for name in before if torch.equal(before[name], after[name])} == visual
    weights = pretrainer.task_weights()
    assert set(weights) == {name for name, _ in pretrainer.vlt5.named_parameters()} - visual

    given = Weights(weights, head_partition(pretrainer), "there")
    for seed in (2, 3):
        started, fresh = tiny_model("vlt5", seed=seed), tiny_model("vlt5", seed=seed).state_dict()
        load_start(started, given, run_config("vlt5", "text"))
        for name, tensor in started.state_dict().items():
            assert torch.equal(tensor, fresh[name] if name in visual else after[name]), name


def test_a_vision_and_language_condition_trains_and_hands_on_all():
    pretrainer = Vlt5Pretrainer(tiny_model("vlt5"), "vl")
    assert all(parameter.requires_grad for parameter in pretrainer.parameters())
    assert any(name.startswith(VISUAL) for name in pretrainer.task_weights())
