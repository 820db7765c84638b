"""Plain Hugging Face models, tiny, with a batch each: what people use the recorder on without our models."""

from typing import Any, NamedTuple

import torch
from torch import nn
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.bert.modeling_bert import BertLMHeadModel, BertModel
from transformers.models.blip.configuration_blip import BlipConfig, BlipTextConfig, BlipVisionConfig
from transformers.models.blip.modeling_blip import BlipForQuestionAnswering
from transformers.models.t5.configuration_t5 import T5Config
from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration
from transformers.models.vit.configuration_vit import ViTConfig
from transformers.models.vit.modeling_vit import ViTModel

SOURCE = torch.tensor([[5, 6, 7, 8, 9], [9, 4, 6, 0, 0]])
SOURCE_MASK = SOURCE.ne(0).long()
TARGET = torch.tensor([[3, 4, 7, 1], [7, 1, 0, 0]])
OLD_CACHE = "past_key_values"  # its name before transformers 5.24
PIXELS = torch.linspace(-1, 1, 2 * 3 * 16 * 16).view(2, 3, 16, 16)


class Plain(NamedTuple):
    sites: tuple[str, ...]
    batch: dict[str, Any]


KINDS = {
    "t5": Plain(
        ("encoder.self", "decoder.self", "decoder.cross"),
        {
            "input_ids": SOURCE,
            "attention_mask": SOURCE_MASK,
            "decoder_input_ids": TARGET,
            "decoder_attention_mask": TARGET.ne(0).long(),
        },
    ),
    "bert": Plain(("encoder.self",), {"input_ids": SOURCE, "attention_mask": SOURCE_MASK}),
    "bert-decoder": Plain(
        ("decoder.self", "decoder.cross"),
        {
            "input_ids": TARGET,
            "attention_mask": TARGET.ne(0).long(),
            "encoder_hidden_states": torch.linspace(-1, 1, 2 * 5 * 12).view(2, 5, 12),
            "encoder_attention_mask": SOURCE_MASK,
        },
    ),
    "vit": Plain(("vision.self",), {"pixel_values": PIXELS}),
    "blip": Plain(
        ("vision.self", "text.self", "text.cross", "decoder.self", "decoder.cross"),
        {
            "pixel_values": PIXELS,
            "input_ids": SOURCE,
            "attention_mask": SOURCE_MASK,
            "decoder_input_ids": TARGET,
            "decoder_attention_mask": TARGET.ne(0).long(),
        },
    ),
}


def attend_with(model: nn.Module, implementation: str) -> None:
    """Sets it in every part: transformers' `set_attn_implementation` leaves T5's stacks out before 5.20."""
    for module in model.modules():
        if hasattr(module, "config"):
            module.config._attn_implementation = implementation


def plain_model(kind: str, eager: bool = False, heads: int = 3, dropout: float = 0.0) -> nn.Module:
    """Three heads of size 4 unless asked otherwise, two layers; weights depend on nothing but the shape."""
    torch.manual_seed(0)
    common = {
        "hidden_size": 12,
        "num_hidden_layers": 2,
        "num_attention_heads": heads,
        "intermediate_size": 20,
    }
    if kind == "t5":
        config = T5Config(
            vocab_size=12,
            d_model=12,
            d_kv=4,
            d_ff=20,
            num_layers=2,
            num_heads=heads,
            dropout_rate=dropout,
            decoder_start_token_id=0,
        )
        model_class = T5ForConditionalGeneration
    elif kind.startswith("bert"):
        decodes = kind == "bert-decoder"
        config = BertConfig(
            vocab_size=12,
            attention_probs_dropout_prob=dropout,
            hidden_dropout_prob=dropout,
            is_decoder=decodes,
            add_cross_attention=decodes,
            **common,
        )
        model_class = BertLMHeadModel if decodes else BertModel
    elif kind == "vit":
        config = ViTConfig(
            image_size=16,
            patch_size=8,
            attention_probs_dropout_prob=dropout,
            hidden_dropout_prob=dropout,
            **common,
        )
        model_class = ViTModel
    else:
        text = BlipTextConfig(
            vocab_size=12,
            encoder_hidden_size=12,
            bos_token_id=3,
            eos_token_id=1,
            attention_probs_dropout_prob=dropout,
            hidden_dropout_prob=dropout,
            **common,
        )
        vision = BlipVisionConfig(
            image_size=16, patch_size=8, initializer_range=0.02, attention_dropout=dropout, **common
        )
        config = BlipConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8)
        config.initializer_range = 0.02
        model_class = BlipForQuestionAnswering
    if eager:  # else transformers' default: sdpa wherever the model supports it
        config._attn_implementation = "eager"
    model = model_class(config)
    with torch.no_grad():  # maps of fresh models are near uniform: any mistake would pass
        for name, parameter in model.named_parameters():
            if name.endswith(("query.weight", "q_proj.weight", "qkv.weight")):  # T5's are spread already
                parameter.mul_(30)
    return model
