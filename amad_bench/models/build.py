"""A model from a run's canonical config, with fresh weights."""

from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from transformers.models.blip.configuration_blip import BlipConfig

from amad_bench.data.text.tokenizer import VISUAL_TOKENS, Tokenizer
from amad_bench.models.blip.model import BlipAnswerer, BlipCaptioner
from amad_bench.models.blip.pretraining import BlipMlm, BlipVisionLanguage
from amad_bench.models.heads import head_partition
from amad_bench.models.settings import BLIP_SETTINGS, VLT5_SETTINGS, with_settings
from amad_bench.models.vlt5.model import VLT5, VLT5Config
from amad_bench.models.vlt5.pretraining import Vlt5Pretrainer
from amad_bench.models.weights import Settings
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.config.inputs import PixelInputs, RegionInputs
from amad_bench.plan.run_config import RunConfig, Side

# Drawn with T5's spread of 1, the numbers of regions (the text table read backwards) drown the features of a
# model that is trained here. VQA on scenes after 1,500 steps: 80.4 % without numbers, 71.8 % with spread 1,
# 77.5 % with a tenth of it.
VISUAL_TOKEN_SPREAD = 0.1


def build_model(
    config: RunConfig,
    tokenizer: Tokenizer,
    positions: int,
    feature_size: int | None = None,
    settings: Settings = MappingProxyType({}),
) -> nn.Module:
    """A run's model, a pre-training's with its objectives; weights depend on `init` seed and sizes only.

    `positions`: the longest text sequence (BLIP's learned positions). `feature_size`: numbers per region
    (VL-T5), None for the raw pixels that the config's `inputs` describe. `settings`: where they are not the
    family's own, those of the weights that will be loaded.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seeds.init)
        if config.family == "vlt5":
            built = _vlt5(config, tokenizer, feature_size, with_settings(VLT5_SETTINGS, settings))
        else:
            built = _blip(config, tokenizer, positions, with_settings(BLIP_SETTINGS, settings))
    # A class that quietly took its default (BLIP's text: 8) would make every comparison a wrong one.
    found, family = head_partition(built), FAMILIES[config.family]
    asked = {site: config.model.side(family.side_of(site)).heads for site in found}
    if found != asked:
        raise RuntimeError(f"{type(built).__name__} was asked for the heads {asked} and has {found}")
    return built


def blip_spread(width: int) -> float:
    """Standard deviation of BLIP's fresh weights.

    BERT's 0.02 is for a width of 768; a narrow model needs more for the same gain through a layer.
    """
    return 0.02 * (768 / width) ** 0.5


def _vlt5(
    config: RunConfig, tokenizer: Tokenizer, feature_size: int | None, settings: dict[str, Any]
) -> VLT5 | Vlt5Pretrainer:
    model, inputs, special = config.model, config.inputs, tokenizer.special
    if isinstance(inputs, PixelInputs):
        raise TypeError("VL-T5 sees regions of an image, no pixels of the whole")
    if feature_size is None and isinstance(inputs, RegionInputs):
        feature_size = 3 * inputs.crop**2
    sizes = VLT5Config(
        vocab_size=tokenizer.size,
        d_model=model.width,
        d_kv=model.head_size,
        d_ff=model.feed_forward,
        num_layers=model.layers,
        num_decoder_layers=model.layers,
        num_heads=model.heads,
        dropout_rate=model.dropout,
        feat_dim=feature_size,
        max_n_boxes=inputs.max_regions,
        use_vis_order_embedding=model.order_embedding,
        box_area=model.box_area,
        pad_token_id=special.pad,
        eos_token_id=special.eos,
        decoder_start_token_id=special.pad,  # pyright: ignore[reportCallIssue]
        feed_forward_proj=settings["dense_act_fn"],
        layer_norm_epsilon=settings["layer_norm_epsilon"],
        relative_attention_max_distance=settings["relative_attention_max_distance"],
    )
    built = VLT5(sizes)
    if sizes.use_vis_order_embedding:
        with torch.no_grad():
            built.shared.weight[-VISUAL_TOKENS:] *= VISUAL_TOKEN_SPREAD
    return Vlt5Pretrainer(built, config.pretraining) if config.kind == "pretrain" else built


def _blip(config: RunConfig, tokenizer: Tokenizer, positions: int, settings: Settings) -> nn.Module:
    sizes = _blip_config(config, tokenizer, positions, settings)
    if config.kind != "pretrain":
        return (BlipCaptioner if config.task == "captioning" else BlipAnswerer)(sizes)
    if config.pretraining == "text":
        return BlipMlm(sizes)
    return BlipVisionLanguage(sizes, bool(config.momentum_distillation))


def _blip_config(config: RunConfig, tokenizer: Tokenizer, positions: int, settings: Settings) -> BlipConfig:
    model, inputs, special = config.model, config.inputs, tokenizer.special
    if not isinstance(inputs, PixelInputs):
        raise TypeError("BLIP sees the pixels of a whole image")
    # Every value is given: the defaults have 8 text heads, and a vision initializer_range of 1e-10.
    vision = {
        **_blip_sizes(model.side("vision")),
        "hidden_act": settings["vision.hidden_act"],
        "layer_norm_eps": settings["vision.layer_norm_eps"],
        "image_size": inputs.size,
        "patch_size": inputs.patch,
        "attention_dropout": model.dropout,
    }
    text = {
        **_blip_sizes(model.side("text")),
        "hidden_act": settings["text.hidden_act"],
        "layer_norm_eps": settings["text.layer_norm_eps"],
        "vocab_size": tokenizer.size,
        "encoder_hidden_size": model.side("vision").width,
        "max_position_embeddings": positions,
        "hidden_dropout_prob": model.dropout,
        "attention_probs_dropout_prob": model.dropout,
        "pad_token_id": special.pad,
        "eos_token_id": special.eos,
        "sep_token_id": special.eos,
        "bos_token_id": special.bos,
        "is_decoder": True,
    }
    return BlipConfig(text_config=text, vision_config=vision, initializer_range=text["initializer_range"])


def _blip_sizes(side: Side) -> dict[str, Any]:
    if side.heads * side.head_size != side.width:
        raise ValueError(f"BLIP's heads share its width, which {side} does not say")
    return {
        "hidden_size": side.width,
        "intermediate_size": side.feed_forward,
        "num_hidden_layers": side.layers,
        "num_attention_heads": side.heads,
        "initializer_range": blip_spread(side.width),
    }
