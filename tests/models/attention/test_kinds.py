"""Stacks found in the many classes that transformers has for one architecture, and what is known of them."""

import inspect

import pytest
from torch import nn
from transformers.models.bert.modeling_bert import BertForMaskedLM
from transformers.models.blip.modeling_blip import (
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipVisionModel,
)
from transformers.models.blip.modeling_blip_text import BlipTextModel
from transformers.models.clip.configuration_clip import CLIPVisionConfig
from transformers.models.clip.modeling_clip import CLIPVisionModel
from transformers.models.mt5.configuration_mt5 import MT5Config
from transformers.models.mt5.modeling_mt5 import MT5EncoderModel
from transformers.models.t5.modeling_t5 import T5EncoderModel
from transformers.models.umt5.configuration_umt5 import UMT5Config
from transformers.models.umt5.modeling_umt5 import UMT5EncoderModel
from transformers.models.vit.modeling_vit import ViTForImageClassification

from amad_bench.models.attention.kinds import find_stacks, unknown_attention
from amad_bench.models.attention.recorder import record
from tests.models.attention.plain_models import KINDS, OLD_CACHE, plain_model

# What is known of each attention module: the names of its parameters, besides `self` and `kwargs`.
# A transformers upgrade that changes them fails here first: read the new block, then `kinds` and `adapters`.
KNOWN_FORWARD = {
    "T5Attention": {"hidden_states", "mask", "key_value_states", "position_bias", "cache"},
    "BertSelfAttention": {"hidden_states", "attention_mask", "cache"},
    "BertCrossAttention": {"hidden_states", "encoder_hidden_states", "attention_mask", "cache"},
    "ViTAttention": {"hidden_states", "attention_mask"},
    "BlipAttention": {"hidden_states"},
    "BlipTextSelfAttention": {
        "hidden_states",
        "attention_mask",
        "encoder_hidden_states",
        "encoder_attention_mask",
        "cache",
    },
}
KNOWN_CHILDREN = {
    "T5Attention": {"q", "k", "v", "o", "relative_attention_bias"},
    "BertSelfAttention": {"query", "key", "value", "dropout"},
    "BertCrossAttention": {"query", "key", "value", "dropout"},
    "ViTAttention": {"q_proj", "k_proj", "v_proj", "o_proj"},
    "BlipAttention": {"qkv", "projection", "dropout"},
    "BlipTextSelfAttention": {"query", "key", "value", "dropout"},
}
CLASSES = (
    (T5EncoderModel, "t5", "", {"encoder": {"self"}}),
    (BertForMaskedLM, "bert", "", {"encoder": {"self"}}),
    (ViTForImageClassification, "vit", "", {"vision": {"self"}}),
    (BlipVisionModel, "blip", "vision_config", {"vision": {"self"}}),
    (BlipTextModel, "blip", "text_config", {"encoder": {"self", "cross"}}),
    (BlipForConditionalGeneration, "blip", "", {"vision": {"self"}, "decoder": {"self", "cross"}}),
    (BlipForImageTextRetrieval, "blip", "", {"vision": {"self"}, "text": {"self", "cross"}}),
)


@pytest.mark.parametrize(("model_class", "kind", "part", "expected"), CLASSES)
def test_stacks_of_a_class(model_class, kind, part, expected):
    config = plain_model(kind).config
    stacks = find_stacks(model_class(getattr(config, part) if part else config))
    assert {stack: set(blocks[0].attention) for stack, blocks in stacks.items()} == expected
    assert all(len(blocks) == 2 for blocks in stacks.values())


def test_an_attention_of_another_architecture_is_not_taken_for_a_known_one():
    """CLIP's has the projections of ViT's under the same names, and the path of BLIP's."""
    sizes = {"hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 1, "num_attention_heads": 3}
    assert find_stacks(CLIPVisionModel(CLIPVisionConfig(image_size=16, patch_size=8, **sizes))) == {}


def test_umt5_which_has_a_bias_table_in_each_layer_is_not_taken_for_t5():
    sizes = {"vocab_size": 9, "d_model": 12, "d_kv": 3, "d_ff": 8, "num_layers": 2, "num_heads": 4}
    model = UMT5EncoderModel(UMT5Config(**sizes))
    assert find_stacks(model) == {}
    assert unknown_attention(model) == "encoder.block.0.layer.0"
    stacks = find_stacks(MT5EncoderModel(MT5Config(**sizes)))  # T5's attention under another name
    assert {stack: len(blocks) for stack, blocks in stacks.items()} == {"encoder": 2}


def test_two_stacks_of_one_name_are_refused():
    both = nn.ModuleDict({"left": plain_model("bert"), "right": plain_model("bert")})
    with pytest.raises(
        ValueError, match=r"ModuleDict has several stacks called 'encoder.self', left.encoder.layer and right"
    ):
        record(both).__enter__()


@pytest.mark.parametrize("kind", KINDS)
def test_canary_the_blocks_of_transformers_are_those_the_adapters_were_written_against(kind):
    seen = set()
    for blocks in find_stacks(plain_model(kind)).values():
        for block in blocks:
            for attention in block.attention.values():
                name = type(attention.module).__name__
                parameters = inspect.signature(attention.module.forward).parameters
                named = {p for p, spec in parameters.items() if spec.kind is not spec.VAR_KEYWORD}
                children = {child for child, _ in attention.module.named_children()}
                seen.add(name)
                named = {"cache" if p == OLD_CACHE else p for p in named}
                assert named == KNOWN_FORWARD[name], f"{name}.forward has changed"
                assert children <= KNOWN_CHILDREN[name], f"{name} has other parts"
                assert KNOWN_CHILDREN[name] - children <= {"relative_attention_bias"}, f"{name} lacks parts"
    expected = {
        "t5": {"T5Attention"},
        "bert": {"BertSelfAttention"},
        "bert-decoder": {"BertSelfAttention", "BertCrossAttention"},
        "vit": {"ViTAttention"},
        "blip": {"BlipAttention", "BlipTextSelfAttention"},
    }
    assert seen == expected[kind]
