"""VL-T5 from a run's canonical config, with fresh weights, and how these are drawn."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from transformers.models.t5.modeling_t5 import T5Attention

from amad_bench.models.family import Blueprint, Scheme
from amad_bench.models.vlt5.model import VLT5, VLT5Config
from amad_bench.models.vlt5.pretraining import Vlt5Pretrainer
from amad_bench.plan.catalogue.families import VLT5 as RECORD

REGIONS = len(RECORD.tokens.regions)  # rows of their numbers, the last ones of the vocabulary's table
# Drawn with T5's spread of 1, the numbers of regions (the text table read backwards) drown the features of a
# model that is trained here. VQA on scenes after 1,500 steps: 80.4 % without numbers, 71.8 % with spread 1,
# 77.5 % with a tenth of it.
VISUAL_TOKEN_SPREAD = 0.1


def build_vlt5(wanted: Blueprint) -> VLT5 | Vlt5Pretrainer:
    """A task's model, or what pre-trains it."""
    config, settings = wanted.config, wanted.settings
    model, inputs, special = config.model, config.inputs, wanted.tokenizer.special
    if inputs.regions is None:
        raise TypeError("VL-T5 sees regions of an image, no pixels of the whole")
    sizes = VLT5Config(
        vocab_size=wanted.tokenizer.size,
        d_model=model.width,
        d_kv=model.head_size,
        d_ff=model.feed_forward,
        num_layers=model.layers,
        num_decoder_layers=model.layers,
        num_heads=model.heads,
        dropout_rate=model.dropout,
        feat_dim=wanted.feature_size or inputs.feature_size,
        max_n_boxes=inputs.regions,
        use_vis_order_embedding=model.options["order_embedding"],
        box_area=model.options["box_area"],
        pad_token_id=special.pad,
        eos_token_id=special.eos,
        decoder_start_token_id=special.pad,  # pyright: ignore[reportCallIssue]
        feed_forward_proj=settings["dense_act_fn"],
        layer_norm_epsilon=settings["layer_norm_epsilon"],
        relative_attention_max_distance=settings["relative_attention_max_distance"],
    )
    built = VLT5(sizes)
    built.gives_loss = False  # `losses` read the logits
    if sizes.use_vis_order_embedding:
        with torch.no_grad():
            built.shared.weight[-REGIONS:] *= VISUAL_TOKEN_SPREAD
    return Vlt5Pretrainer(built, config.pretraining) if config.kind == "pretrain" else built


def vlt5_schemes(
    model: VLT5, path: str, module: nn.Module, parameter: nn.Parameter
) -> Iterator[tuple[Tensor, Scheme]]:
    """In two parts where the numbers of regions have a spread of their own."""
    if module is model.shared and model.config.use_vis_order_embedding:
        words = max(0, len(parameter) - REGIONS)
        if words:
            yield parameter[:words], Scheme(0.0, 1.0)
        yield parameter[words:], Scheme(0.0, VISUAL_TOKEN_SPREAD)
    else:
        yield parameter, Scheme(0.0, _spread(model, path, module))


def _spread(model: VLT5, path: str, module: nn.Module) -> float:
    """T5's spread (mesh scheme): embeddings 1, projections fan-in ** -1/2, queries also / sqrt(head size)."""
    config = model.config
    if isinstance(module, nn.Linear):
        query = path.endswith(".q") and isinstance(model.get_submodule(path[:-2]), T5Attention)
        return (module.in_features * (config.d_kv if query else 1)) ** -0.5
    return config.d_model**-0.5 if path.endswith("relative_attention_bias") else 1.0
