"""BLIP's weights out of local Hugging Face folders: of BLIP itself, or of BERT and ViT for its two sides.

As salesforce/BLIP starts (models/blip_pretrain.py): BERT for the text encoder and, with its LM head, for the
text decoder; token types, pooler and next-sentence head have no place in BLIP. The two words that BLIP adds
([DEC], [ENC]), cross-attention, and the vision side without a ViT folder are not among the weights.
"""

# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate
from transformers.models.blip.configuration_blip import BlipConfig, BlipTextConfig, BlipVisionConfig
from transformers.models.blip.modeling_blip import BlipVisionModel
from transformers.models.blip.modeling_blip_text import BlipTextLMHeadModel

from amad_bench.data.pretrained import loading
from amad_bench.models.blip import BlipAnswerer, BlipCaptioner, BlipMatcher
from amad_bench.models.weights import Weights, read_pickle, require_finite
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_json

FILES = ("config.json", "model.safetensors", "pytorch_model.bin")
POSITIONS = "vision_model.embeddings.position_embedding"
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
SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
TEXT_SIZES = (*SIZES, "vocab_size", "max_position_embeddings")
VISION_SIZES = (*SIZES, "image_size", "patch_size")


def blip_weights(folders: Sequence[Path], task: str, condition: str) -> Weights:
    """Weights for a task's model ("captioning", "vqa", "retrieval"), pre-trained on "text" or "vl".

    vl: of the folders, the one whose BLIP has the task's architecture; complete. text: a BERT folder and, if
    wanted, a ViT folder. Weights are model.safetensors or pytorch_model.bin (tensors only). UserError naming
    folder and keys: files missing or damaged, no folder that fits, tensors missing, unexpected or of another
    shape than config.json says, not finite, a head count that is not stated or not the known one.
    """
    configs = {folder: _config(folder) for folder in folders}
    if condition == "text":
        return _text_weights(configs, task)
    architecture, model_class = CLASSES[task]
    folder = _only(configs, "architectures", [architecture], f"BLIP for {task} ({architecture})")
    config = configs[folder]
    for side, sizes in (("vision_config", VISION_SIZES), ("text_config", TEXT_SIZES)):
        if not isinstance(config.get(side), dict):
            raise UserError(f"{folder / FILES[0]}: {side} is no mapping of sizes; restore the file")
        _check(folder, config[side], sizes, f"{side}.")
    expected = _shapes(folder, lambda: model_class(BlipConfig.from_dict(config)))
    heads = _sites(TEXT_STACKS[task].values(), ("self", "cross"), config["text_config"])
    heads |= _sites(["vision"], ["self"], config["vision_config"])
    return Weights(_fitting(_tensors(folder), expected, folder), heads, str(folder))


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


def _text_weights(configs: Mapping[Path, dict[str, Any]], task: str) -> Weights:
    bert = _only(configs, "model_type", "bert", "BERT")
    tensors = _bert(bert, configs[bert], task)
    heads = _sites(TEXT_STACKS[task].values(), ["self"], configs[bert])
    others = {folder: config for folder, config in configs.items() if folder != bert}
    if others:
        vit = _only(others, "model_type", "vit", "ViT")
        tensors |= _vit(vit, configs[vit])
        heads |= _sites(["vision"], ["self"], configs[vit])
    return Weights(tensors, heads, " and ".join(map(str, configs)))


def _bert(folder: Path, config: dict[str, Any], task: str) -> dict[str, Tensor]:
    """The text side's weights; the LM head goes to the decoder, where the folder has one."""
    sizes = _check(folder, config, TEXT_SIZES)
    expected = _shapes(folder, lambda: BlipTextLMHeadModel(BlipTextConfig(**sizes, is_decoder=False)))
    stored = {}
    for name, tensor in _tensors(folder).items():
        name = name if name.startswith("cls.") else f"bert.{name.removeprefix('bert.')}"
        name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"\.beta$", ".bias", name))
        if not re.search(r"\.pooler\.|seq_relationship|token_type_embeddings", name):
            stored[name] = tensor
    if not any(name.startswith("cls.") for name in stored):
        expected = {name: shape for name, shape in expected.items() if not name.startswith("cls.")}
    tensors = {}
    for name, tensor in _fitting(stored, expected, folder).items():
        if name.startswith("bert."):
            tensors |= {prefix + name.removeprefix("bert."): tensor for prefix in TEXT_STACKS[task]}
        elif "text_decoder.bert." in TEXT_STACKS[task]:
            tensors[f"text_decoder.{name}"] = tensor
    return tensors


def _vit(folder: Path, config: dict[str, Any]) -> dict[str, Tensor]:
    sizes = _check(folder, config, VISION_SIZES)
    expected = _shapes(folder, lambda: BlipVisionModel(BlipVisionConfig(**sizes)))
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
    stored = {}
    for name, tensor in _tensors(folder).items():
        for pattern, replacement in names.items():
            name = re.sub(pattern, replacement, name)
        if not name.startswith(("pooler.", "classifier.")):
            stored[name] = tensor
    for name in [name for name in stored if ".self_attn.query." in name]:
        parts = [name.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if all(part in stored for part in parts):
            stored[name.replace(".query.", ".qkv.")] = torch.cat([stored.pop(part) for part in parts])
    return {f"vision_model.{name}": tensor for name, tensor in _fitting(stored, expected, folder).items()}


def _config(folder: Path) -> dict[str, Any]:
    with loading(folder, "a Hugging Face model", FILES):
        config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise UserError(f"{folder / 'config.json'}: not the config of a Hugging Face model; restore it")
    return config


def _only(configs: Mapping[Path, dict[str, Any]], key: str, value: Any, what: str) -> Path:
    fitting = [folder for folder, config in configs.items() if config.get(key) == value]
    if len(fitting) != 1:
        found = ", ".join(f"{folder} ({config.get(key)})" for folder, config in configs.items())
        raise UserError(
            f"{found or 'weights'}: exactly one folder of {what} was expected, its config.json having"
            f" {key}: {value}; found {len(fitting)}"
        )
    return fitting[0]


def _check(folder: Path, config: dict[str, Any], sizes: Sequence[str], prefix: str = "") -> dict[str, Any]:
    """The sizes, which config.json must state: of absent heads, transformers makes 8 on BLIP's text side."""
    file = folder / "config.json"
    absent = [name for name in sizes if not isinstance(config.get(name), int)]
    if absent:
        raise UserError(
            f"{file}: {prefix}{absent[0]} is no whole number; state the one the weights were trained with"
        )
    activation = config.get("hidden_act", "gelu")
    if activation != "gelu":
        raise UserError(f"{file}: {prefix}hidden_act is {activation}, BLIP has gelu; take other weights")
    width, layers, heads = (
        config[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")
    )
    known = KNOWN_HEADS.get((width, layers), heads)
    if heads != known:
        raise UserError(
            f"{file}: {prefix}num_attention_heads is {heads}, but a model of width {width} and {layers}"
            f" layers has {known}; state the number the weights were trained with"
        )
    return {name: config[name] for name in sizes}


def _sites(stacks: Iterable[str], kinds: Sequence[str], config: dict[str, Any]) -> dict[str, int]:
    return {f"{stack}.{kind}": config["num_attention_heads"] for stack in stacks for kind in kinds}


def _tensors(folder: Path) -> dict[str, Tensor]:
    """Every tensor of the folder's weights file, in float32; nothing but tensors is unpickled."""
    with loading(folder, "weights", FILES[1:]):
        if (folder / FILES[1]).is_file():
            stored = load_file(folder / FILES[1])
        else:
            stored = read_pickle(folder / FILES[2])
        tensors = {name: tensor.float() for name, tensor in stored.items()}
    require_finite(tensors, folder)
    return tensors


def _shapes(folder: Path, build: Callable[[], nn.Module]) -> dict[str, torch.Size]:
    """Of every tensor that the model has; no memory is used for them."""
    with loading(folder, "a Hugging Face model", FILES), torch.device("meta"):
        return {name: tensor.shape for name, tensor in build().state_dict().items()}


def _fitting(
    tensors: Mapping[str, Tensor], expected: Mapping[str, torch.Size], folder: Path
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
    wrong = {
        "missing": sorted(set(expected) - set(tensors)),
        "unexpected": sorted(set(tensors) - set(expected)),
        "not of the shape that config.json says": sorted(
            name for name in set(tensors) & set(expected) if tensors[name].shape != expected[name]
        ),
    }
    found = [
        f"{len(names)} tensors {what} ({', '.join(names[:3])})" for what, names in wrong.items() if names
    ]
    if found:
        raise UserError(f"{folder}: {'; '.join(found)}; take a complete folder of this architecture")
    return tensors
