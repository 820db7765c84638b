"""FLOPs against formulas written out by hand: 2 for each multiply-add of a matrix product."""

import pytest
import torch

from amad_bench.models.cost import flops_per_example
from tests.tiny_models import KINDS, SHAPE, VOCABULARY, built, run_config, tiny_batch, tiny_model

# of the tiny models and batches
WIDTH, INNER, FEED_FORWARD, LAYERS = 16, 16, 32, 2
TEXT, REGIONS, LABELS, PROMPT, PATCHES, FEATURES = 6, 3, 5, 3, 4, 12


def _product(rows, inner, columns):
    return 2 * rows * inner * columns


def _attention(queries, keys):
    """Four projections, scores and mix; the number of heads does not matter."""
    projections = 2 * _product(queries, WIDTH, INNER) + 2 * _product(keys, WIDTH, INNER)
    return projections + 2 * _product(queries, INNER, keys)


def _feed_forward(tokens):
    return 2 * _product(tokens, WIDTH, FEED_FORWARD)


def _vlt5():
    joint = TEXT + REGIONS
    regions = _product(REGIONS, FEATURES, WIDTH) + _product(REGIONS, 5, WIDTH)
    encoder = _attention(joint, joint) + _feed_forward(joint)
    decoder = _attention(LABELS, LABELS) + _attention(LABELS, joint) + _feed_forward(LABELS)
    return regions + LAYERS * (encoder + decoder) + _product(LABELS, WIDTH, VOCABULARY)


def _vision():
    tokens = PATCHES + 1
    patches = _product(PATCHES, 3 * 8 * 8, WIDTH)
    return patches + LAYERS * (_attention(tokens, tokens) + _feed_forward(tokens))


def _bert(tokens, keys):
    return LAYERS * (_attention(tokens, tokens) + _attention(tokens, keys) + _feed_forward(tokens))


def _head(tokens):
    return _product(tokens, WIDTH, WIDTH) + _product(tokens, WIDTH, VOCABULARY)


def _expected(kind):
    if kind == "vlt5":
        return _vlt5()
    if kind == "blip-vqa":
        return _vision() + _bert(TEXT, PATCHES + 1) + _bert(LABELS, TEXT) + _head(LABELS)
    written = PROMPT + LABELS  # the decoder reads BOS, the prompt and all labels but the last
    return _vision() + _bert(written, PATCHES + 1) + _head(written)


@pytest.mark.parametrize("heads", [2, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_flops_are_those_of_the_formula(kind, heads):
    """torch's counter alone finds no attention on a CPU, where its kernel has no formula."""
    model, batch = tiny_model(kind, heads=heads), tiny_batch(kind)
    assert flops_per_example(model, batch) == _expected(kind)
    assert flops_per_example(model, {name: tensor[:1] for name, tensor in batch.items()}) == _expected(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_counting_changes_nothing(kind):
    model, batch = tiny_model(kind, dropout=0.5).train(), tiny_batch(kind)
    part = next(model.children()).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.random.get_rng_state()
    flops_per_example(model, batch)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert model.training
    assert not any(module.training for module in part.modules())
    assert all(module.training for module in list(model.children())[-1].modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("momentum", [False, True])
def test_a_contrastive_loss_is_counted_with_another_image(momentum):
    """And its momentum encoders do not move."""
    shape = SHAPE.model_copy(update={"layers": 1, "heads": 2, "head_size": 8, "dropout": 0.1})
    config = run_config("blip", "vl", pretrains=True, shape=shape, momentum_distillation=momentum)
    model = built(config).train()
    batch = tiny_batch("blip-vqa")
    del batch["labels"]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.random.get_rng_state()
    flops = flops_per_example(model, {**batch, "image_ids": torch.tensor([4, 7, 9])})
    # more than the vision model once and the decoder once, which the formulas above count for two layers
    assert flops > (_vision() + _bert(TEXT, PATCHES + 1)) // 2
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_modes_come_back_after_an_error():
    model, batch = tiny_model("blip-vqa").train(), tiny_batch("blip-vqa")
    with pytest.raises(RuntimeError, match="size of tensor"):
        flops_per_example(model, {**batch, "pixel_values": torch.zeros(3, 3, 24, 24)})
    assert all(module.training for module in model.modules())
