"""A real BERT and a real ViT, read as BLIP's two sides, against transformers' own outputs."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, BertModel, ViTModel
from transformers.models.blip.configuration_blip import BlipConfig

from amad_bench.data.text.tokenizer import load_folder_tokenizer
from amad_bench.models.blip.model import BlipAnswerer
from amad_bench.models.blip.weights import POSITIONS, blip_weights, with_position_grid
from amad_bench.models.build import build_model
from amad_bench.models.start import load_start
from amad_bench.models.start_facts import start_facts
from amad_bench.models.weights import Weights
from amad_bench.plan.config.inputs import PixelInputs
from amad_bench.plan.run_config import Model, Side, Start
from tests.tiny_models import built, run_config

TEXTS = [
    "a dog runs over the green grass .",
    "What color is the Café's small star, and who put it there?",
    "no",
]
BERT_SHAPE = Model(
    layers=6,
    width=384,
    heads=12,
    head_size=32,
    feed_forward=1536,
    dropout=0.1,
    options={},
)


@pytest.fixture
def bert(shared_weights: Path) -> Path:
    return shared_weights / "minilm-l6-h384"


@pytest.fixture
def vit(shared_weights: Path) -> Path:
    return shared_weights / "vit-s14-dinov2-folded"


@pytest.mark.trap("blip-8")
@torch.no_grad()
@pytest.mark.parametrize("token_types", ["added", "dropped"])
def test_a_real_bert_as_both_text_stacks(bert: Path, token_types: str) -> None:
    """Through the whole path of a run: tokenizer, weights, model, start; with padding.

    Dropped, its first token type is a row of zeros.
    """
    weights = blip_weights([bert], "vqa", "text", token_types)
    tokenizer = load_folder_tokenizer(bert, "blip")
    config = run_config("blip", "text", shape=BERT_SHAPE)
    model = build_model(config, tokenizer, 512, settings=weights.settings).eval()
    load_start(model, weights, config)
    facts = start_facts(weights, model, config)
    assert facts["heads"] == dict.fromkeys(("text.self", "decoder.self"), "12 of 32 channels")
    assert facts["heads_from"] == "minilm-l6-h384/config.json"
    assert facts["left_out"] == [f"{bert.name}: pooler.dense.{name}" for name in ("bias", "weight")]

    stock: Any = BertModel.from_pretrained(bert, dtype=torch.float32, local_files_only=True).eval()
    batch: Any = AutoTokenizer.from_pretrained(bert, local_files_only=True)(
        TEXTS, padding=True, return_tensors="pt"
    )
    for text, ids in zip(TEXTS, batch["input_ids"], strict=True):
        words = [token for token in ids.tolist() if token not in tokenizer.special.given and token != 101]
        assert tokenizer.encode(text) == words  # but for [CLS], [SEP] and padding
    there = batch["attention_mask"].bool()
    whole = stock(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    if token_types == "dropped":
        stock.embeddings.token_type_embeddings.weight[0] = 0.0
    expected = stock(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    assert ((whole - expected)[there].abs().max() > 1) == (token_types == "dropped")
    for stack in (model.text_encoder, model.text_decoder.bert):  # pyright: ignore[reportAttributeAccessIssue]
        actual = stack(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        torch.testing.assert_close(actual[there], expected[there], atol=2e-6, rtol=0)


def _vision(weights: Weights, size: int) -> Any:
    """BLIP's vision side for images of `size` pixels."""
    sizes = {"num_hidden_layers": 12, "num_attention_heads": 6, "hidden_size": 384, "intermediate_size": 1536}
    settings = {"layer_norm_eps": weights.settings["vision.layer_norm_eps"], "image_size": size}
    text = {"hidden_size": 384, "num_hidden_layers": 1, "vocab_size": 8}
    config = BlipConfig(text_config=text, vision_config={**sizes, **settings, "patch_size": 14})
    model: Any = BlipAnswerer(config).eval()
    resized = with_position_grid(weights, (size // 14) ** 2)
    tensors = {k: v for k, v in resized.tensors.items() if k.startswith("vision_model.")}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert unexpected == []
    assert not any(name.startswith("vision_model.") for name in missing)
    return model.vision_model


@torch.no_grad()
@pytest.mark.parametrize("size", [518, 112])
def test_a_real_vit_as_the_vision_side(bert: Path, vit: Path, size: int) -> None:
    """Also for smaller images: positions interpolated as transformers does."""
    weights = blip_weights([bert, vit], "vqa", "text")
    assert weights.settings["vision.layer_norm_eps"] == 1e-6
    assert weights.heads["vision.self"] == 6
    assert weights.tensors[POSITIONS].shape == (1, 1 + 37**2, 384)
    pixels = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    stock: Any = ViTModel.from_pretrained(
        vit, dtype=torch.float32, local_files_only=True, add_pooling_layer=False
    ).eval()
    expected = stock(pixels, interpolate_pos_encoding=size != 518).last_hidden_state
    actual = _vision(weights, size)(pixels).last_hidden_state
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)  # of sd 2


@torch.no_grad()
def test_a_real_vit_through_the_whole_path_of_a_run(bert: Path, vit: Path) -> None:
    """With sides equally deep, of the ViT's twelve layers every second is inherited, and all of BERT's."""
    weights = blip_weights([bert, vit], "vqa", "text")
    shape = BERT_SHAPE.model_copy(update={"heads": 6, "head_size": 64})
    inputs = PixelInputs(kind="pixels", size=112, patch=14)
    start = Start(cut="inherit", inherit_heads="first")
    config = run_config("blip", "text", shape=shape, inputs=inputs, start=start)
    model: Any = built(config, 30524, 512, settings=weights.settings).eval()
    # the test is of shapes and numbers: the special ids are those of a vocabulary trained here
    weights = replace(weights, token_ids={})
    load_start(model, weights, config)
    facts = start_facts(weights, model, config)
    assert facts["heads"]["vision.self"] == "6 of 64 channels"
    assert facts["colours"] == "half, but imagenet by preprocessor_config.json"
    stock: Any = ViTModel.from_pretrained(
        vit, dtype=torch.float32, local_files_only=True, add_pooling_layer=False
    ).eval()
    layers = stock.layers if hasattr(stock, "layers") else stock.encoder.layer
    del layers[0:12:2]
    stock.config.num_hidden_layers = 6
    pixels = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    expected = stock(pixels, interpolate_pos_encoding=True).last_hidden_state
    torch.testing.assert_close(model.vision_model(pixels).last_hidden_state, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_real_bert_and_vit_whole_in_one_blip(bert: Path, vit: Path) -> None:
    """Sides of their own: twelve layers and six heads as in the ViT, six and twelve as in BERT."""
    weights = blip_weights([bert, vit], "vqa", "text")
    vision = Side(layers=12, width=384, heads=6, head_size=64, feed_forward=1536)
    shape = BERT_SHAPE.model_copy(update={"other_sides": {"vision": vision}})
    inputs = PixelInputs(kind="pixels", size=112, patch=14)
    config = run_config("blip", "text", shape=shape, inputs=inputs)
    model: Any = built(config, 30524, 512, settings=weights.settings).eval()
    weights = replace(weights, token_ids={})  # those of a vocabulary trained here
    load_start(model, weights, config)
    facts = start_facts(weights, model, config)
    of_text = ("text.self", "decoder.self")
    assert facts["heads"] == {
        "vision.self": "6 of 64 channels",
        **dict.fromkeys(of_text, "12 of 32 channels"),
    }
    pixels = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    stock: Any = ViTModel.from_pretrained(
        vit, dtype=torch.float32, local_files_only=True, add_pooling_layer=False
    ).eval()
    expected = stock(pixels, interpolate_pos_encoding=True).last_hidden_state
    torch.testing.assert_close(model.vision_model(pixels).last_hidden_state, expected, atol=1e-4, rtol=1e-4)
    stock = BertModel.from_pretrained(bert, dtype=torch.float32, local_files_only=True).eval()
    ids = torch.tensor([[101, 1037, 3899, 3216, 102]])
    expected = stock(ids).last_hidden_state
    for stack in (model.text_encoder, model.text_decoder.bert):
        torch.testing.assert_close(stack(ids).last_hidden_state, expected, atol=2e-6, rtol=0)


@torch.no_grad()
def test_another_epsilon_would_show(bert: Path, vit: Path, tmp_path: Path) -> None:
    """With transformers' default for BLIP, 1e-5, states of this ViT are off by more than rounding."""
    weights = blip_weights([bert, vit], "vqa", "text")
    copy = shutil.copytree(vit, tmp_path / "vit", copy_function=shutil.copyfile)
    copy.chmod(0o755)
    config = (copy / "config.json").read_text()
    (copy / "config.json").write_text(config.replace('"layer_norm_eps": 1e-06', '"layer_norm_eps": 1e-05'))
    other = blip_weights([bert, copy], "vqa", "text")
    pixels = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    difference = (
        _vision(weights, 112)(pixels).last_hidden_state - _vision(other, 112)(pixels).last_hidden_state
    )
    assert difference.abs().max() > 1e-2
