"""BLIP from a run's canonical config, with fresh weights, and how these are drawn."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from transformers.models.blip.configuration_blip import BlipConfig

from amad_bench.models.blip.model import BlipAnswerer, BlipCaptioner
from amad_bench.models.blip.pretraining import BlipMlm, BlipVisionLanguage
from amad_bench.models.family import Blueprint, Scheme
from amad_bench.plan.run_config import Side


def build_blip(wanted: Blueprint) -> nn.Module:
    """A task's model, or what pre-trains it."""
    config, sizes = wanted.config, _blip_config(wanted)
    if config.kind != "pretrain":
        return (BlipCaptioner if config.task == "captioning" else BlipAnswerer)(sizes)
    if config.pretraining == "text":
        return BlipMlm(sizes)
    return BlipVisionLanguage(sizes, bool(config.pretraining_options["momentum_distillation"]))


def _spread(width: int) -> float:
    """Standard deviation of BLIP's fresh weights.

    BERT's 0.02 is for a width of 768; a narrow model needs more for the same gain through a layer.
    """
    return 0.02 * (768 / width) ** 0.5


def blip_schemes(
    model: nn.Module, path: str, module: nn.Module, parameter: nn.Parameter
) -> Iterator[tuple[Tensor, Scheme]]:
    """All parameters of a side have its spread; the padding token is zeros."""
    side = "vision_config" if path.startswith("vision_model.") else "text_config"
    width = getattr(model.config, side).hidden_size  # pyright: ignore[reportAttributeAccessIssue]
    padding = module.padding_idx if isinstance(module, nn.Embedding) else None
    yield parameter, Scheme(0.0, _spread(width), padding)


def _blip_config(wanted: Blueprint) -> BlipConfig:
    model, inputs, special = wanted.config.model, wanted.config.inputs, wanted.tokenizer.special
    settings = wanted.settings
    if inputs.patches is None:
        raise TypeError("BLIP sees the pixels of a whole image")
    image_size, patch_size = inputs.patches
    # Every value is given: the defaults have 8 text heads, and a vision initializer_range of 1e-10.
    vision = {
        **_sizes(model.side("vision")),
        "hidden_act": settings["vision.hidden_act"],
        "layer_norm_eps": settings["vision.layer_norm_eps"],
        "image_size": image_size,
        "patch_size": patch_size,
        "attention_dropout": model.dropout,
    }
    text = {
        **_sizes(model.side("text")),
        "hidden_act": settings["text.hidden_act"],
        "layer_norm_eps": settings["text.layer_norm_eps"],
        "vocab_size": wanted.tokenizer.size,
        "encoder_hidden_size": model.side("vision").width,
        "max_position_embeddings": wanted.positions,
        "hidden_dropout_prob": model.dropout,
        "attention_probs_dropout_prob": model.dropout,
        "pad_token_id": special.pad,
        "eos_token_id": special.eos,
        "sep_token_id": special.eos,
        "bos_token_id": special.bos,
        "is_decoder": True,
    }
    return BlipConfig(text_config=text, vision_config=vision, initializer_range=text["initializer_range"])


def _sizes(side: Side) -> dict[str, Any]:
    if side.heads * side.head_size != side.width:
        raise ValueError(f"BLIP's heads share its width, which {side} does not say")
    return {
        "hidden_size": side.width,
        "intermediate_size": side.feed_forward,
        "num_hidden_layers": side.layers,
        "num_attention_heads": side.heads,
        "initializer_range": _spread(side.width),
    }
