"""What a model takes from the tokenizer and from the images."""

from types import MappingProxyType
from typing import cast

import pytest
import torch
from transformers.models.blip.configuration_blip import BlipConfig

from amad_bench.data.text.tokenizer import SpecialIds, Tokenizer
from amad_bench.models.blip import build
from amad_bench.models.build import build_model
from amad_bench.models.settings import settings_of
from amad_bench.models.weights import own_tensors
from amad_bench.plan.config.inputs import ExtractedInputs, FeatureInputs, PixelInputs, RegionInputs
from amad_bench.plan.run_config import Model
from tests.tiny_models import Words, built, run_config

SHAPE = Model(
    layers=1,
    width=16,
    heads=2,
    head_size=8,
    feed_forward=32,
    dropout=0.0,
    options={"order_embedding": False, "box_area": "true"},
)
GRID = ExtractedInputs(kind="extracted", model="x", size=224, rows=2, columns=3)
PIXELS = PixelInputs(kind="pixels", size=16, patch=8)
BERT = SpecialIds(pad=0, eos=102, unknown=100, bos=101)
VL = {"condition": "vl", "pretrains": True}


def _built(family, inputs, *, feature_size=None, vocabulary=120, settings=MappingProxyType({}), **of_config):
    config = run_config(family, inputs=inputs, **{"shape": SHAPE, **of_config})
    return built(config, vocabulary, 20, feature_size, settings)


@pytest.mark.parametrize(
    ("inputs", "feature_size", "expected"),
    [
        (RegionInputs(kind="regions", boxes="file", crop=4, max_regions=8), None, (48, 8)),
        (FeatureInputs(kind="features", size=2048, max_regions=36), 2048, (2048, 36)),
        (GRID, 768, (768, 6)),
    ],
)
def test_feature_size_and_number_of_regions(inputs, feature_size, expected):
    model = _built("vlt5", inputs, feature_size=feature_size)
    assert (model.config.feat_dim, model.config.max_n_boxes) == expected


def test_special_ids_of_a_given_tokenizer():
    blip, vlt5 = run_config("blip", shape=SHAPE, inputs=PIXELS), run_config("vlt5", shape=SHAPE, inputs=GRID)
    config = build_model(blip, cast(Tokenizer, Words(120, BERT)), 20).config.text_config
    assert (config.pad_token_id, config.eos_token_id, config.bos_token_id) == (0, 102, 101)
    assert config.sep_token_id == 102
    t5 = build_model(vlt5, cast(Tokenizer, Words(120, SpecialIds(0, 1, 2, None))), 20, 12).config
    assert (t5.pad_token_id, t5.eos_token_id, t5.decoder_start_token_id) == (0, 1, 0)


@pytest.mark.trap("vlt5-9")
@pytest.mark.parametrize("order_embedding", [False, True])
@pytest.mark.parametrize("box_area", ["true", "official"])
def test_order_embedding_and_area_are_the_configs(order_embedding, box_area):
    shape = SHAPE.model_copy(update={"options": {"order_embedding": order_embedding, "box_area": box_area}})
    model = _built("vlt5", GRID, feature_size=12, shape=shape)
    assert hasattr(model.encoder.visual_embedding, "img_order_embedding") == order_embedding
    assert model.config.box_area == box_area


@pytest.mark.trap("heads-10")
def test_a_class_with_heads_of_its_own_is_refused(monkeypatch):
    """transformers' BlipTextConfig has 8 heads where none are given."""

    def forgetful(**config):
        del config["text_config"]["num_attention_heads"]
        return BlipConfig(**config)

    monkeypatch.setattr(build, "BlipConfig", forgetful)
    with pytest.raises(
        RuntimeError, match=r"asked for the heads .*'text.self': 2.* and has .*'text.self': 8"
    ):
        _built("blip", PIXELS)


@pytest.mark.trap("heads-2")
def test_a_head_size_that_blip_cannot_have_is_refused():
    with pytest.raises(ValueError, match="BLIP's heads share its width"):
        _built("blip", PIXELS, shape=SHAPE.model_copy(update={"head_size": 4}))


def test_inputs_of_the_other_family_are_refused():
    with pytest.raises(TypeError, match="VL-T5 sees regions of an image"):
        _built("vlt5", PIXELS)
    with pytest.raises(TypeError, match="BLIP sees the pixels of a whole image"):
        _built("blip", GRID)


@pytest.mark.parametrize("condition", ["text", "vl"])
@pytest.mark.parametrize("family", ["vlt5", "blip"])
def test_what_pretrains_has_the_weights_of_a_task_model(family, condition):
    inputs, features = (GRID, 12) if family == "vlt5" else (PIXELS, None)
    pretrainer = _built(family, inputs, feature_size=features, condition=condition, pretrains=True)
    names = set(own_tensors(_built(family, inputs, feature_size=features)))
    unseen = {"vlt5": ("visual_embedding",), "blip": ("vision", "crossattention")}
    if condition == "text":
        names = {name for name in names if not any(part in name for part in unseen[family])}
    assert set(pretrainer.task_weights()) == names


def test_pretrainers_are_fresh_by_their_seed_alone():
    state = torch.random.get_rng_state()
    first, other = (_built("blip", PIXELS, seed=seed, **VL).task_weights() for seed in (1, 2))
    assert torch.equal(state, torch.random.get_rng_state())
    torch.rand(7)
    again = _built("blip", PIXELS, seed=1, **VL).task_weights()
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    drawn = "vision_model.embeddings.class_embedding"
    assert not torch.equal(first[drawn], other[drawn])


def test_momentum_distillation_has_encoders_of_its_own():
    for wanted in (False, True):
        pretrainer = _built("blip", PIXELS, momentum_distillation=wanted, **VL)
        assert (pretrainer.momentum_matcher is not None) == wanted


def test_the_numbers_of_regions_are_drawn_with_a_tenth_of_the_words_spread():
    """Else they drown the features of a model that is trained here; they are the last 100 rows."""
    shape = SHAPE.model_copy(update={"options": {"order_embedding": True, "box_area": "true"}})
    table = _built("vlt5", GRID, feature_size=12, vocabulary=1_100, shape=shape).shared.weight
    assert table[:1_000].std().item() == pytest.approx(1.0, rel=0.05)
    assert table[1_000:].std().item() == pytest.approx(0.1, rel=0.05)
    assert table[999].std().item() > 0.5 > 0.2 > table[1_000].std().item()


def test_numbers_that_no_tensor_shows_are_those_of_the_papers():
    """T5 1.0; BERT in salesforce/BLIP models/med.py, and models/vit.py, where transformers has 1e-5."""
    assert settings_of(_built("vlt5", GRID, feature_size=4)) == {
        "dense_act_fn": "relu",
        "layer_norm_epsilon": 1e-6,
        "relative_attention_max_distance": 128,
    }
    assert settings_of(_built("blip", PIXELS)) == {
        "text.hidden_act": "gelu",
        "text.layer_norm_eps": 1e-12,
        "vision.hidden_act": "gelu",
        "vision.layer_norm_eps": 1e-6,
    }


def test_a_setting_that_a_family_does_not_have_is_a_bug():
    with pytest.raises(ValueError, match=r"vision\.layer_norm_eps: no setting of this family"):
        _built("vlt5", GRID, feature_size=4, settings={"vision.layer_norm_eps": 1e-5})
