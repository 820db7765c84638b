"""Tiny random models of foreign architectures: the recorder's proof, and the rows of docs/recorder.md."""

from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor, nn

WIDE = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2}
WORDS = {"vocab_size": 40, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
# 4 heads of queries, 2 of keys; 3 heads else
GROUPED = WIDE | WORDS | {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
TEXT = WIDE | WORDS | {"num_attention_heads": 3, "max_position_embeddings": 32}
IMAGE = WIDE | {"num_attention_heads": 3, "image_size": 16, "patch_size": 8}
PAIR = WORDS | {
    "d_model": 24,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 3,
    "decoder_attention_heads": 3,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 32,
    "decoder_start_token_id": 3,
}
OPT = (
    "OPTConfig",
    {k: v for k, v in TEXT.items() if k != "intermediate_size"} | {"ffn_dim": 32, "word_embed_proj_dim": 24},
)
IMAGE_TOKEN = 39

SOURCE = torch.tensor([[5, 6, 7, 8, 9, 3], [9, 4, 6, 0, 0, 0]])
LEFT = torch.tensor([[5, 6, 7, 8, 9, 3], [0, 0, 0, 9, 4, 6]])
TARGET = torch.tensor([[3, 4, 7, 1], [7, 1, 0, 0]])
PIXELS = torch.linspace(-1, 1, 2 * 3 * 16 * 16).view(2, 3, 16, 16).sin()
SOUND = torch.linspace(-3, 3, 2 * 8 * 16).view(2, 8, 16).cos()


class Architecture(NamedTuple):
    """model: its class. config: its config's class and values, nested ones alike. batches: names in BATCHES.
    maps: of each site the attributes of what the eager model gives back, or, where it keeps them to itself,
    the paths of its attention modules with `*` for their block. notes: what is particular about it.
    """

    model: str
    config: tuple[str, dict[str, Any]]
    batches: tuple[str, ...]
    maps: dict[str, str]
    notes: str


def text(ids: Tensor) -> dict[str, Tensor]:
    return {"input_ids": ids, "attention_mask": ids.ne(0).long()}


def with_image(tokens: int, ids: Tensor) -> Tensor:
    """Each text after so many places of its image, before its padding."""
    places = torch.full((len(ids), tokens), IMAGE_TOKEN)
    padding = (ids != 0).int().argmax(1)
    rows = [torch.cat([row[:n], place, row[n:]]) for row, place, n in zip(ids, places, padding, strict=True)]
    return torch.stack(rows)


DECODED = {"decoder_input_ids": TARGET, "decoder_attention_mask": TARGET.ne(0).long()}
BATCHES: dict[str, dict[str, Tensor]] = {
    "right": text(SOURCE),
    "left": text(LEFT),
    "whole": {"input_ids": SOURCE[:1]},
    "pair": text(SOURCE) | DECODED,
    "sound": {"input_features": SOUND} | DECODED,
    "image": {"pixel_values": PIXELS},
    "image and text": {"pixel_values": PIXELS} | text(SOURCE),
    "image and whole text": {"pixel_values": PIXELS, "input_ids": SOURCE[:, :3]},
    "LLaVA": {"pixel_values": PIXELS} | text(with_image(4, LEFT)),
    "Qwen2-VL": {
        "pixel_values": torch.linspace(-1, 1, 32 * 96).view(32, 96).sin(),
        "image_grid_thw": torch.tensor([[1, 4, 4], [1, 4, 4]]),
        "mm_token_type_ids": with_image(4, LEFT).eq(IMAGE_TOKEN).int(),
    }
    | text(with_image(4, LEFT)),
    "BLIP-2": {"pixel_values": PIXELS} | text(with_image(3, LEFT)),
    "Q-Former": {
        "query_embeds": torch.linspace(-2, 2, 2 * 4 * 24).view(2, 4, 24).cos(),
        "attention_mask": TARGET.ne(0).long(),
        "encoder_hidden_states": torch.linspace(-9, 9, 2 * 6 * 24).view(2, 6, 24).sin(),
        "encoder_attention_mask": SOURCE.ne(0).long(),
    },
}
VALID = {"encoder": "attention_mask", "text": "attention_mask", "decoder": "attention_mask"}

ENCODER = {"encoder.self": "attentions"}
DECODER = {"decoder.self": "attentions"}
VISION = {"vision.self": "attentions"}
TWO = {"vision.self": "vision_model_output.attentions", "text.self": "text_model_output.attentions"}
THREE = {
    "encoder.self": "encoder_attentions",
    "decoder.self": "decoder_attentions",
    "decoder.cross": "cross_attentions",
}

ARCHITECTURES = {
    "Llama": Architecture(
        "LlamaModel", ("LlamaConfig", GROUPED), ("right", "left", "whole"), DECODER, "grouped queries, rotary"
    ),
    "Qwen2": Architecture(
        "Qwen2Model", ("Qwen2Config", GROUPED), ("left",), DECODER, "grouped queries, rotary"
    ),
    "Qwen3": Architecture(
        "Qwen3Model",
        ("Qwen3Config", GROUPED),
        ("left",),
        DECODER,
        "grouped queries, rotary, normalised heads",
    ),
    "Mistral": Architecture(
        "MistralModel",
        ("MistralConfig", GROUPED | {"sliding_window": 3}),
        ("right", "left", "whole"),
        DECODER,
        "grouped queries, rotary, sliding window",
    ),
    "Gemma": Architecture(
        "GemmaModel",
        ("GemmaConfig", GROUPED | {"num_key_value_heads": 1}),
        ("left",),
        DECODER,
        "one head of keys, rotary",
    ),
    "GPT-2": Architecture(
        "GPT2Model",
        ("GPT2Config", WORDS | {"n_embd": 24, "n_layer": 2, "n_head": 3, "n_positions": 32}),
        ("right", "left", "whole"),
        DECODER,
        "",
    ),
    "OPT": Architecture("OPTModel", OPT, ("right", "left"), DECODER, "queries scaled before"),
    "BERT": Architecture("BertModel", ("BertConfig", TEXT), ("right", "whole"), ENCODER, ""),
    "RoBERTa": Architecture("RobertaModel", ("RobertaConfig", TEXT), ("right",), ENCODER, ""),
    "DistilBERT": Architecture(
        "DistilBertModel",
        ("DistilBertConfig", WORDS | {"dim": 24, "n_layers": 2, "n_heads": 3, "hidden_dim": 32}),
        ("right",),
        ENCODER,
        "",
    ),
    "T5": Architecture(
        "T5ForConditionalGeneration",
        ("T5Config", WORDS | {"d_model": 24, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 3}),
        ("pair",),
        THREE,
        "relative position bias, no scale",
    ),
    "BART": Architecture("BartForConditionalGeneration", ("BartConfig", PAIR), ("pair",), THREE, ""),
    "Marian": Architecture("MarianMTModel", ("MarianConfig", PAIR), ("pair",), THREE, ""),
    "Whisper": Architecture(
        "WhisperForConditionalGeneration",
        ("WhisperConfig", PAIR | {"num_mel_bins": 8, "max_source_positions": 8, "max_target_positions": 16}),
        ("sound",),
        THREE,
        "queries scaled before",
    ),
    "ViT": Architecture("ViTModel", ("ViTConfig", IMAGE), ("image",), VISION, ""),
    "DeiT": Architecture("DeiTModel", ("DeiTConfig", IMAGE), ("image",), VISION, ""),
    "DINOv2": Architecture("Dinov2Model", ("Dinov2Config", IMAGE), ("image",), VISION, ""),
    "CLIP": Architecture(
        "CLIPModel",
        (
            "CLIPConfig",
            {"text_config": TEXT | {"eos_token_id": 3}, "vision_config": IMAGE, "projection_dim": 8},
        ),
        ("image and text", "image and whole text"),
        TWO,
        "the text's is causal",
    ),
    "SigLIP": Architecture(
        "SiglipModel",
        ("SiglipConfig", {"text_config": TEXT, "vision_config": IMAGE}),
        ("image and text", "image and whole text"),
        TWO,
        "",
    ),
    "LLaVA": Architecture(
        "LlavaForConditionalGeneration",
        (
            "LlavaConfig",
            {
                "vision_config": ("CLIPVisionConfig", IMAGE),
                "text_config": ("LlamaConfig", GROUPED),
                "image_token_index": IMAGE_TOKEN,
            },
        ),
        ("LLaVA",),
        {"vision.self": "model.vision_tower.encoder.layers.*.self_attn", "decoder.self": "attentions"},
        "those of its parts",
    ),
    "Qwen2-VL": Architecture(
        "Qwen2VLForConditionalGeneration",
        (
            "Qwen2VLConfig",
            {
                "text_config": GROUPED
                | {"hidden_size": 32}
                | {
                    "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
                },
                "vision_config": {
                    "depth": 2,
                    "embed_dim": 24,
                    "num_heads": 3,
                    "hidden_size": 32,
                    "mlp_ratio": 2,
                    "patch_size": 4,
                },
                "image_token_id": IMAGE_TOKEN,
                "vision_start_token_id": 38,
                "vision_end_token_id": 37,
                "video_token_id": 36,
            },
        ),
        ("Qwen2-VL",),
        DECODER,
        "grouped queries, rotary in three parts",
    ),
    "BLIP-2": Architecture(
        "Blip2ForConditionalGeneration",
        (
            "Blip2Config",
            {
                "vision_config": IMAGE,
                "qformer_config": TEXT | {"encoder_hidden_size": 24},
                "text_config": OPT,
                "num_query_tokens": 3,
                "image_token_index": IMAGE_TOKEN,
            },
        ),
        ("BLIP-2",),
        {
            "vision.self": "vision_model.encoder.layers.*.self_attn",
            "text.self": "qformer.encoder.layer.*.attention.attention",
            "text.cross": "qformer.encoder.layer.*.crossattention.attention",
            "decoder.self": "language_model_outputs.attentions",
        },
        "`text` is its Q-Former",
    ),
    "BLIP-2's Q-Former": Architecture(
        "Blip2QFormerModel",
        ("Blip2QFormerConfig", TEXT | {"num_hidden_layers": 4, "encoder_hidden_size": 24}),
        ("Q-Former",),
        {"text.self": "encoder.layer.*.attention.attention", "text.cross": "cross_attentions"},
        "cross-attention in every second block",
    ),
}


def make(name: str, implementation: str = "sdpa") -> nn.Module:
    """The model of that name, the same weights each time, in evaluation mode."""
    architecture = ARCHITECTURES[name]
    return build(architecture.model, architecture.config, implementation)


def build(model: str, config: tuple[str, dict[str, Any]], implementation: str = "sdpa") -> nn.Module:
    torch.manual_seed(0)
    made = configured(*config)
    made._attn_implementation = implementation
    network = getattr(transformers, model)(made).eval()
    for module in network.modules():  # fresh weights are small, and make maps that are all alike
        for parameter in module.parameters(recurse=False):
            fan_in = (
                parameter[0].numel() if parameter.dim() > 1 and not isinstance(module, nn.Embedding) else 1
            )
            noise = torch.randn_like(parameter) / fan_in**0.5
            parameter.data.copy_(parameter + 0.3 * noise if parameter.dim() == 1 else noise)
    return network


def configured(name: str, values: dict[str, Any]) -> Any:
    nested = {k: configured(*v) if isinstance(v, tuple) else v for k, v in values.items()}
    return getattr(transformers, name)(**nested)


def valid_rows(site: str, batch: dict[str, Tensor], like_BHQK: Tensor) -> Tensor:
    """(B, Q) rows of a map that stand for real tokens."""
    stack = site.partition(".")[0]
    name = (
        "decoder_attention_mask" if stack == "decoder" and "decoder_input_ids" in batch else "attention_mask"
    )
    mask_BQ = batch.get(name)
    if stack == "vision" or mask_BQ is None or mask_BQ.shape[1] != like_BHQK.shape[2]:
        return like_BHQK.new_ones(like_BHQK.shape[0], like_BHQK.shape[2], dtype=torch.bool)
    return mask_BQ.bool()
