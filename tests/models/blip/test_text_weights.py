"""BERT and ViT folders that save_pretrained wrote, as what BLIP starts from."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining, BertModel, ViTConfig, ViTModel

from amad_bench.models.blip.model import BlipAnswerer, BlipCaptioner
from amad_bench.models.blip.weights import POSITIONS, blip_weights, with_position_grid
from tests.models.blip.test_weights import (
    PAD,
    SHAPE,
    VOCABULARY,
    config,
    edit_tensors,
    pixels,
    refused,
    save,
    text,
)


def bert_config() -> BertConfig:
    sizes = {"vocab_size": VOCABULARY - 2, "max_position_embeddings": 20, "num_attention_heads": 2}
    return BertConfig(**SHAPE, **sizes, pad_token_id=PAD)


def vit_config() -> ViTConfig:
    return ViTConfig(**SHAPE, num_attention_heads=4, image_size=16, patch_size=8, layer_norm_eps=1e-5)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[type, Any], tuple[Path, Any]]:
    """saved(class, config) -> the folder and the model that was written there."""
    return partial(save, tmp_path)


@pytest.mark.trap("blip-8")
@torch.no_grad()
@pytest.mark.parametrize("model_class", [BertModel, BertForMaskedLM, BertForPreTraining])
def test_bert_becomes_both_text_stacks(saved, model_class):
    """Equal to BERT's own outputs, of the first token type. BLIP has two words more."""
    folder, stock = saved(model_class, bert_config())
    bert = stock if model_class is BertModel else stock.bert
    weights = blip_weights([folder], "vqa", "text")
    assert weights.heads == {"text.self": 2, "decoder.self": 2}
    ours = BlipAnswerer(config()).eval()
    tensors = {
        name: torch.cat([tensor, torch.zeros(2, *tensor.shape[1:])])
        if len(tensor) == VOCABULARY - 2
        else tensor
        for name, tensor in weights.tensors.items()
    }
    missing, unexpected = ours.load_state_dict(tensors, strict=False)
    assert unexpected == []
    head = model_class is not BertModel
    fresh = ["vision_model.", ".crossattention.", ".cls.predictions.decoder." if head else ".cls."]
    assert all(any(part in name for part in fresh) for name in missing)
    ids = text(3, 6) % (VOCABULARY - 6) + 4
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0]])
    expected = bert(ids, attention_mask=mask).last_hidden_state
    for stack in (ours.text_encoder, ours.text_decoder.bert):
        actual = stack(ids, attention_mask=mask).last_hidden_state
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)
    if head:
        logits = ours.text_decoder.cls(expected)[..., :-2]
        torch.testing.assert_close(logits, stock(ids, attention_mask=mask)[0], atol=1e-5, rtol=0)


@pytest.mark.trap("blip-8")
@torch.no_grad()
def test_dropped_token_types_give_a_bert_without_its_first(saved):
    folder, stock = saved(BertModel, bert_config())
    weights = blip_weights([folder], "vqa", "text", "dropped")
    ours = BlipAnswerer(config()).eval()
    encoder = {
        name.removeprefix("text_encoder."): tensor[: VOCABULARY - 2]
        for name, tensor in weights.tensors.items()
        if name.startswith("text_encoder.")
    }
    ours.text_encoder.resize_token_embeddings(VOCABULARY - 2)
    ours.text_encoder.load_state_dict(encoder, strict=False)
    ids = text(3, 6) % (VOCABULARY - 6) + 4
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0]])
    actual = ours.text_encoder(ids, attention_mask=mask).last_hidden_state
    whole = stock(ids, attention_mask=mask).last_hidden_state
    stock.embeddings.token_type_embeddings.weight[0] = 0.0
    without = stock(ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(actual, without, atol=1e-5, rtol=0)
    assert (actual - whole).abs().max() > 0.1


@torch.no_grad()
def test_bert_for_a_captioner_is_the_decoder_only(saved):
    folder, stock = saved(BertForMaskedLM, bert_config())
    weights = blip_weights([folder], "captioning", "text")
    assert weights.heads == {"decoder.self": 2}
    assert all(name.startswith("text_decoder.") for name in weights.tensors)
    assert set(weights.tensors) < set(BlipCaptioner(config()).state_dict())
    positions, types = (
        getattr(stock.bert.embeddings, f"{table}_embeddings").weight for table in ("position", "token_type")
    )
    found = weights.tensors["text_decoder.bert.embeddings.position_embeddings.weight"]
    assert torch.equal(found, positions + types[0])


def test_the_first_bert_names_of_layer_norms_are_known(saved):
    """google-bert/bert-base-uncased still has gamma and beta."""
    folder, _ = saved(BertForMaskedLM, bert_config())
    expected = blip_weights([folder], "vqa", "text").tensors

    def rename(tensors: dict[str, Tensor]) -> None:
        for name in [name for name in tensors if "LayerNorm" in name]:
            tensors[name.replace(".weight", ".gamma").replace(".bias", ".beta")] = tensors.pop(name)

    edit_tensors(folder, rename)
    again = blip_weights([folder], "vqa", "text").tensors
    assert set(again) == set(expected)
    assert all(torch.equal(again[name], expected[name]) for name in expected)


@torch.no_grad()
def test_vit_becomes_the_vision_side(saved):
    bert, _ = saved(BertModel, bert_config())
    folder, stock = saved(ViTModel, vit_config())
    weights = blip_weights([folder, bert], "vqa", "text")  # in any order
    assert weights.heads == {"text.self": 2, "decoder.self": 2, "vision.self": 4}
    assert str(folder) in weights.where
    assert str(bert) in weights.where
    ours = BlipAnswerer(config()).eval()
    vision = {k: v for k, v in weights.tensors.items() if k.startswith("vision_model.")}
    missing, unexpected = ours.load_state_dict(vision, strict=False)
    assert unexpected == []
    assert not any(name.startswith("vision_model.") for name in missing)
    expected = stock(pixels()).last_hidden_state
    torch.testing.assert_close(ours.vision_model(pixels()).last_hidden_state, expected, atol=1e-5, rtol=0)


def test_a_vit_alone_is_no_text_side(saved):
    folder, _ = saved(ViTModel, vit_config())
    assert "exactly one folder of BERT" in refused(folder, condition="text")


@torch.no_grad()
def test_positions_are_interpolated_to_another_grid(saved):
    """2 x 2 patches become 4 x 4: as transformers does for larger images."""
    bert, _ = saved(BertModel, bert_config())
    folder, stock = saved(ViTModel, vit_config())
    weights = blip_weights([bert, folder], "vqa", "text")
    assert with_position_grid(weights, 4) is weights
    resized = with_position_grid(weights, 16).tensors[POSITIONS]
    expected = stock.embeddings.interpolate_pos_encoding(torch.zeros(1, 17, 16), 32, 32)
    torch.testing.assert_close(resized, expected, atol=1e-6, rtol=0)
    without = blip_weights([bert], "vqa", "text")
    assert with_position_grid(without, 16) is without
