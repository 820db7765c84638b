"""Questions to a model that may be transformers', wrapped or anyone's: the model inside, logits, labels.

Axes: B batch, L tokens, V vocabulary or classes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from amad_bench.losses.ce import IGNORED

_WRAPPERS = ("module", "_orig_mod")  # of DistributedDataParallel, and of what torch.compile gives

SHIFTING = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "BertGenerationDecoder")
# Decoders whose loss takes labels as they stand: each is the next token already.
UNSHIFTED = frozenset(
    {
        *(
            "BartForCausalLM",
            "BigBirdPegasusForCausalLM",
            "BlenderbotForCausalLM",
            "BlenderbotSmallForCausalLM",
        ),
        *("CpmAntForCausalLM", "FlaubertWithLMHeadModel", "MBartForCausalLM", "MarianForCausalLM"),
        *("MvpForCausalLM", "PLBartForCausalLM", "PegasusForCausalLM", "ProphetNetForCausalLM"),
        *("TrOCRForCausalLM", "WhisperForCausalLM", "XLMWithLMHeadModel", "XLNetLMHeadModel"),
    }
)


def unwrapped(model: nn.Module) -> nn.Module:
    """The model within DistributedDataParallel, what accelerate makes of it, and torch.compile."""
    for name in _WRAPPERS:
        if isinstance(inner := model._modules.get(name), nn.Module) and len(model._modules) == 1:
            return unwrapped(inner)
    return model


def takes_targets(model: nn.Module) -> bool:
    """Whether it is an encoder-decoder, which makes its decoder's inputs of the labels."""
    return bool(getattr(getattr(model, "config", None), "is_encoder_decoder", False))


def shifts_labels(model: nn.Module) -> bool:
    """Whether a model's logits at a token are of the next one while its labels are the tokens themselves.

    So it is with most of transformers' causal models, which shift in their own loss.
    """
    if getattr(model, "config", None) is None or takes_targets(model):
        return False
    names = type(model).__name__, str(getattr(model, "loss_type", None))
    return names[0] not in UNSHIFTED and any(name.endswith(SHIFTING) for name in names)


def logits_of(output: Any, role: str) -> Tensor:
    """Logits (B, L, V); of a classifier (B, 1, V). ValueError where a model's output has none."""
    logits = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", output)
    if not isinstance(logits, Tensor) or logits.dim() not in (2, 3):
        raise ValueError(
            f"the {role}'s output has no logits (batch, tokens, vocabulary) or (batch, classes), which ce "
            f"and logit_kd read; give a model with a head, or leave these losses out"
        )
    return logits[:, None] if logits.dim() == 2 else logits


def labels_of(inputs: Mapping[str, Any], logits_BLV: Tensor, shift: bool) -> Tensor:
    """Labels (B, L) of the logits, -100 where a token does not count.

    shift: the label of a token's logits stands one place to the right. Without labels in the inputs every
    real token counts, and has the label 0.
    """
    labels = inputs.get("labels")
    if labels is not None and not labels.is_floating_point() and labels.dim() <= 2:
        if shift:
            labels = pad(labels[:, 1:], (0, 1), value=IGNORED)
        return labels[:, None] if labels.dim() == 1 else labels
    tokens_BL = torch.zeros(logits_BLV.shape[:2], dtype=torch.long, device=logits_BLV.device)
    for name in ("decoder_attention_mask", "attention_mask"):
        mask = inputs.get(name)
        if mask is not None and mask.shape == tokens_BL.shape:
            return tokens_BL.masked_fill(~mask.bool(), IGNORED)
    return tokens_BL
