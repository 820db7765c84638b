"""BLIP's weights out of local Hugging Face folders: of BLIP itself, or of BERT and ViT for its two sides.

As salesforce/BLIP starts (models/blip_pretrain.py): BERT for the text encoder and, with its LM head, for the
text decoder. Pooler and heads of tasks have no place in BLIP. Nor have token types; of these, the vector of
the first one, which BERT adds to every position of a single text, is added to the positions, or, as in the
official start, dropped, after which a real BERT computes something else (docs/methods.md#blip-8). The two
words that BLIP adds ([DEC], [ENC]), cross-attention, and the vision side without a ViT folder are not among
the weights.
"""

# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from transformers import PreTrainedConfig
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.blip.configuration_blip import BlipConfig, BlipTextConfig, BlipVisionConfig
from transformers.models.blip.modeling_blip import BlipVisionModel
from transformers.models.blip.modeling_blip_text import BlipTextLMHeadModel

from amad_bench.data.pretrained import loading
from amad_bench.models.blip.config_fields import BERT, BLIP, BLIP_TEXT, BLIP_VISION, SETTINGS_IN, VIT
from amad_bench.models.blip.model import BlipAnswerer, BlipCaptioner, BlipMatcher
from amad_bench.models.config_fields import Fields, read_fields
from amad_bench.models.folders import (
    CONFIG,
    FILES,
    folder_colours,
    folder_config,
    folder_tensors,
    model_type,
    without_task_heads,
)
from amad_bench.models.weights import Weights, require_fitting
from amad_bench.runtime.errors import UserError

_WHAT = "a Hugging Face model"
POSITIONS = "vision_model.embeddings.position_embedding"
_KEYS_AND_VALUES = re.compile(r"^text_decoder\..*\.crossattention\.self\.(?:key|value)\.weight$")
KNOWN_HEADS = {(768, 12): 12, (1024, 24): 16}  # (width, layers) of BERT base, ViT-B and ViT-L
CLASSES = {
    "captioning": ("BlipForConditionalGeneration", BlipCaptioner),
    "vqa": ("BlipForQuestionAnswering", BlipAnswerer),
    "retrieval": ("BlipForImageTextRetrieval", BlipMatcher),
}
# what the text side is called in the task's model, and its attention site
TEXT_STACKS = {
    "captioning": {"text_decoder.bert.": "decoder"},
    "vqa": {"text_encoder.": "text", "text_decoder.bert.": "decoder"},
    "retrieval": {"text_encoder.": "text"},
}
# an LM head's second names of tensors; of the two, a file may have one or both
TIED = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
# of a single text's tokens, in BERT
TOKEN_TYPES, WORD_POSITIONS = (
    f"bert.embeddings.{table}_embeddings.weight" for table in ("token_type", "position")
)


def blip_weights(folders: Sequence[Path], task: str, condition: str, token_types: str = "added") -> Weights:
    """Weights for a task's model ("captioning", "vqa", "retrieval"), pre-trained on "text" or "vl".

    vl: of the folders, the one whose BLIP has the task's architecture; complete. text: a BERT folder and, if
    wanted, a ViT folder; token_types: the first one is "added" to BERT's positions, or "dropped". Weights are
    model.safetensors or pytorch_model.bin (tensors only). UserError naming folder and keys: files missing or
    damaged, no folder that fits, tensors missing, unexpected or of another shape than config.json says, not
    finite, a head count that is not stated or not the known one.
    """
    configs = {folder: folder_config(folder, _WHAT) for folder in folders}
    if condition == "text":
        return _text_weights(configs, task, token_types)
    architecture, model_class = CLASSES[task]
    folder = _only(
        {folder: config.get("architectures") for folder, config in configs.items()},
        [architecture],
        f"BLIP for {task}",
        "architectures",
    )
    file, raw = folder / CONFIG, configs[folder]
    sides = {}
    for side, fields in (("text_config", BLIP_TEXT), ("vision_config", BLIP_VISION)):
        if not isinstance(raw.get(side), dict):
            raise UserError(f"{file}: {side} is no mapping of sizes; restore the file")
        sides[side] = _checked(file, raw[side], fields, f"{side}.")
    config = read_fields(file, raw, BLIP)
    expected = _own_tensors(folder, lambda: model_class(cast(BlipConfig, config)))
    text, vision = sides["text_config"], sides["vision_config"]
    heads = _sites(TEXT_STACKS[task].values(), ("self", "cross"), text) | _sites(["vision"], ["self"], vision)
    return Weights(
        _fitting(folder_tensors(folder, _WHAT), expected, folder),
        heads,
        str(folder),
        SETTINGS_IN[BlipTextConfig].of(text) | SETTINGS_IN[BlipVisionConfig].of(vision),
        heads_from=f"{folder.name}/{CONFIG}",
        token_ids={name: getattr(text, name) for name in BLIP_TEXT.token_ids},
        colours=folder_colours(folder),
    )


def with_position_grid(weights: Weights, patches: int) -> Weights:
    """The same weights for images of another number of patches: learned positions interpolated (bicubic).

    As salesforce/BLIP does (models/vit.py) where a model is fine-tuned on larger images. Unchanged when the
    number is the same or the weights have no vision side.
    """
    positions_1Pd = weights.tensors.get(POSITIONS)
    if positions_1Pd is None or positions_1Pd.shape[1] == patches + 1:
        return weights
    old, new = (round(number**0.5) for number in (positions_1Pd.shape[1] - 1, patches))
    grid_1dxy = positions_1Pd[:, 1:].unflatten(1, (old, old)).permute(0, 3, 1, 2)
    resized_1dxy = interpolate(grid_1dxy, size=(new, new), mode="bicubic", align_corners=False)
    resized_1Pd = torch.cat([positions_1Pd[:, :1], resized_1dxy.flatten(2).transpose(1, 2)], dim=1)
    return replace(weights, tensors={**weights.tensors, POSITIONS: resized_1Pd})


def without_image_keys(weights: Weights, model: nn.Module) -> Weights:
    """The same weights without what an answer decoder cannot take of one that saw images of another width.

    In VQA it attends to the question: keys and values that read a wider or narrower image stay fresh. So
    they do officially, by their shape (salesforce/BLIP, models/blip.py, load_checkpoint).
    """
    if not (hasattr(model, "text_encoder") and hasattr(model, "text_decoder")):
        return weights
    left = {
        name: tensor
        for name, tensor in weights.tensors.items()
        if not _KEYS_AND_VALUES.search(name) or tensor.shape[0] == tensor.shape[1]
    }
    return replace(weights, tensors=left)


def _text_weights(configs: Mapping[Path, dict[str, Any]], task: str, token_types: str) -> Weights:
    types = {folder: model_type(config) for folder, config in configs.items()}
    bert = _only(types, "bert", "BERT", "model_type")
    parts = [_bert(bert, configs[bert], task, token_types)]
    if others := {folder: found for folder, found in types.items() if folder != bert}:
        vit = _only(others, "vit", "ViT", "model_type")
        parts.append(_vit(vit, configs[vit]))
    return Weights(
        {name: tensor for part in parts for name, tensor in part.tensors.items()},
        {site: heads for part in parts for site, heads in part.heads.items()},
        " and ".join(map(str, configs)),
        {name: value for part in parts for name, value in part.settings.items()},
        heads_from=" and ".join(part.heads_from for part in parts),
        token_ids=parts[0].token_ids,
        left_out=[name for part in parts for name in part.left_out],
        colours=parts[-1].colours,
    )


def _bert(folder: Path, raw: dict[str, Any], task: str, token_types: str) -> Weights:
    """The text side's weights; the LM head goes to the decoder, where the folder has one."""
    config = cast(BertConfig, _checked(folder / CONFIG, raw, BERT))
    sizes = {name: getattr(config, name) for name in BERT.stated}
    expected = _own_tensors(folder, lambda: BlipTextLMHeadModel(BlipTextConfig(**sizes, is_decoder=False)))
    tensors, left_out = without_task_heads(folder_tensors(folder, _WHAT))
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        name = name if name.startswith("cls.") else f"bert.{name.removeprefix('bert.')}"
        name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"\.beta$", ".bias", name))
        if name in stored:
            raise UserError(f"{folder}: {name} is there twice, under two names; keep one of them")
        stored[name] = tensor
    expected[TOKEN_TYPES] = torch.empty(config.type_vocab_size, config.hidden_size, device="meta")
    if not any(name.startswith("cls.") for name in stored):
        expected = {name: tensor for name, tensor in expected.items() if not name.startswith("cls.")}
    fitting = _fitting(stored, expected, folder)
    first_type_d = fitting.pop(TOKEN_TYPES)[0]
    if token_types == "added":
        fitting[WORD_POSITIONS] = fitting[WORD_POSITIONS] + first_type_d
    tensors = {}
    for name, tensor in fitting.items():
        if name.startswith("bert."):
            tensors |= {prefix + name.removeprefix("bert."): tensor for prefix in TEXT_STACKS[task]}
        elif "text_decoder.bert." in TEXT_STACKS[task]:
            tensors[f"text_decoder.{name}"] = tensor
    return Weights(
        tensors,
        _sites(TEXT_STACKS[task].values(), ["self"], config),
        str(folder),
        SETTINGS_IN[BlipTextConfig].of(config),
        heads_from=f"{folder.name}/{CONFIG}",
        token_ids={name: getattr(config, name) for name in BERT.token_ids},
        left_out=[f"{folder.name}: {name}" for name in left_out],
    )


def _vit(folder: Path, raw: dict[str, Any]) -> Weights:
    config = _checked(folder / CONFIG, raw, VIT)
    sizes = {name: getattr(config, name) for name in VIT.stated}
    expected = _own_tensors(folder, lambda: BlipVisionModel(BlipVisionConfig(**sizes)))
    names = {
        r"^vit\.": "",
        r"^layernorm\.": "post_layernorm.",
        r"^embeddings\.cls_token$": "embeddings.class_embedding",
        r"^embeddings\.position_embeddings$": "embeddings.position_embedding",
        r"^embeddings\.patch_embeddings\.projection\.": "embeddings.patch_embedding.",
        r"^encoder\.layer\.": "encoder.layers.",
        r"\.layernorm_before\.": ".layer_norm1.",
        r"\.layernorm_after\.": ".layer_norm2.",
        r"\.attention\.output\.dense\.": ".self_attn.projection.",
        r"\.attention\.attention\.": ".self_attn.",
        r"\.intermediate\.dense\.": ".mlp.fc1.",
        r"\.output\.dense\.": ".mlp.fc2.",
    }
    tensors, left_out = without_task_heads(folder_tensors(folder, _WHAT))
    stored = {}
    for name, tensor in tensors.items():
        for pattern, replacement in names.items():
            name = re.sub(pattern, replacement, name)
        stored[name] = tensor
    for name in [name for name in stored if ".self_attn.query." in name]:
        parts = [name.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if all(part in stored for part in parts):
            stored[name.replace(".query.", ".qkv.")] = torch.cat([stored.pop(part) for part in parts])
    return Weights(
        {f"vision_model.{name}": tensor for name, tensor in _fitting(stored, expected, folder).items()},
        _sites(["vision"], ["self"], config),
        str(folder),
        SETTINGS_IN[BlipVisionConfig].of(config),
        heads_from=f"{folder.name}/{CONFIG}",
        left_out=[f"{folder.name}: {name}" for name in left_out],
        colours=folder_colours(folder),
    )


def _only(found: Mapping[Path, Any], value: Any, what: str, key: str) -> Path:
    fitting = [folder for folder, stated in found.items() if stated == value]
    if len(fitting) != 1:
        named = ", ".join(f"{folder} ({stated})" for folder, stated in found.items())
        raise UserError(
            f"{named or 'weights'}: exactly one folder of {what} was expected, its config.json having"
            f" {key}: {value}; found {len(fitting)}"
        )
    return fitting[0]


def _checked(file: Path, raw: dict[str, Any], fields: Fields, prefix: str = "") -> PreTrainedConfig:
    """Settings by `read_fields`; sizes must be stated: transformers makes 8 of heads that are absent."""
    if absent := [name for name in fields.stated if not isinstance(raw.get(name), int)]:
        raise UserError(
            f"{file}: {prefix}{absent[0]} is no whole number; state the one the weights were trained with"
        )
    width, layers, heads = (raw[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads"))
    known = KNOWN_HEADS.get((width, layers), heads)
    if heads != known:
        raise UserError(
            f"{file}: {prefix}num_attention_heads is {heads}, but a model of width {width} and {layers}"
            f" layers has {known}; state the number the weights were trained with"
        )
    with loading(file.parent, _WHAT, FILES):
        return read_fields(file, raw, fields, prefix)


def _sites(stacks: Iterable[str], kinds: Sequence[str], config: PreTrainedConfig) -> dict[str, int]:
    return {f"{stack}.{kind}": config.num_attention_heads for stack in stacks for kind in kinds}


def _own_tensors(folder: Path, build: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """Every tensor that the model has, without memory."""
    with loading(folder, _WHAT, FILES), torch.device("meta"):
        return build().state_dict()


def _fitting(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], folder: Path
) -> dict[str, Tensor]:
    """The tensors under one name each; UserError unless they are exactly those expected."""
    tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith(".position_ids")}
    expected = dict(expected)
    for second, first in TIED.items():
        for name in [name for name in expected if name.endswith(second)]:
            del expected[name]
            if name in tensors:
                tied = tensors.pop(name)
                if not torch.equal(tensors.setdefault(name.replace(second, first), tied), tied):
                    raise UserError(f"{folder}: {name} differs from {first}, to which BLIP ties it")
    require_fitting(tensors, expected, folder, "take a complete folder of this architecture")
    return tensors
